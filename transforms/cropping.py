"""Where training patches are taken from a case."""

from __future__ import annotations

from typing import Any

from monai.transforms import RandCropByLabelClassesd


class RandCropByLabelsd(RandCropByLabelClassesd):
    """MONAI's, where half of the patches are centred on a label whichever a case has, and each of these is as likely.

    By ratios that are the same for all cases, the background gets the share of each label that a case lacks. Needs
    `indices_key`: where labels lie is found by `ClassesToIndicesd`, once for a case that is cached.
    """

    def randomize(self, label: Any, indices: Any = None, image: Any = None) -> None:
        """Choose the centres for a case, by the indices of its voxels with each label, the background first."""
        labels = [1 if len(voxels) else 0 for voxels in indices[1:]]
        ratios: list[float | int] = [max(1, sum(labels)), *labels]
        self.cropper.ratios = ratios
        super().randomize(label, indices, image)
