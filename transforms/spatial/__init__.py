"""Alignment of grids, resampling to the network, restoring to the input's grid."""
