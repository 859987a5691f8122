"""Synthetic CT and MRI volumes with label maps."""
