"""Make datasets of CT alone and of PET alone: `python docs/sarcoma_channels.py sarcoma_petct OUTPUT`.

OUTPUT gets `CT` and `PET` in nnU-Net's layout, with links to the CT and to the label maps. The PET is interpolated
linearly to the grid of the CT, on which the tumour is drawn.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import SimpleITK as sitk


def main(dataset: Path, output: Path) -> None:
    """Write both datasets.

    Args:
        dataset: folder of CT (`_0000`) and PET (`_0001`) in nnU-Net's layout.
        output: folder to write to.
    """
    description = json.loads((dataset / "dataset.json").read_text())
    for name in ("CT", "PET"):
        images = output / name / "imagesTr"
        images.mkdir(parents=True)
        (output / name / "labelsTr").symlink_to((dataset / "labelsTr").resolve())
        (output / name / "dataset.json").write_text(json.dumps({**description, "channel_names": {"0": name}}))
        for ct in sorted((dataset / "imagesTr").glob("*_0000.nii.gz")):
            if name == "CT":
                (images / ct.name).symlink_to(ct.resolve())
                continue
            pet = sitk.ReadImage(ct.with_name(ct.name.replace("_0000", "_0001")), sitk.sitkFloat32)
            sitk.WriteImage(sitk.Resample(pet, sitk.ReadImage(ct)), images / ct.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
