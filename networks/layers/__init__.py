"""Convolutions, normalisation and memory layout, with repairs of CPU kernels of torch."""
