"""Resample to the network's grid, and restore label maps to the grid of the input."""

from .join import JoinChannelsd, resample_onto
from .resample import Resampled
from .restore import RestoreLabelsd, restore_labels

__all__ = ["JoinChannelsd", "Resampled", "RestoreLabelsd", "resample_onto", "restore_labels"]
