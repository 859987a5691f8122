"""Resample to the network's grid, and restore label maps to the grid of the input."""

from .resample import Resampled
from .restore import RestoreLabelsd, restore_labels

__all__ = ["Resampled", "RestoreLabelsd", "restore_labels"]
