"""Print what the sarcoma bundle's README says of volumes: `python docs/tumour_volumes.py LABELS REFERENCES`.

LABELS is a folder of label maps, such as that of the bundle's command *Score*; REFERENCES has a file of the same name
for each. Of every case and on average: sensitivity and precision of the voxels, the volumes of reference and prediction
(ml), their difference without its sign (%), and the number and volume (ml) of pieces that touch no voxel of the tumour.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hybridseg.app.labels import load_labels
from hybridseg.app.runtime import align
from hybridseg.transforms.grid import voxel_volume_ml
from hybridseg.transforms.io.names import list_volumes

HEADINGS = ["case", "sensitivity", "precision", "reference", "prediction", "difference", "pieces", "in them"]


def measure(prediction: NDArray[np.bool_], reference: NDArray[np.bool_], voxel_ml: float) -> list[float]:
    """Return the figures of a case, in the order of `HEADINGS`, from masks (X, Y, Z)."""
    found = int((prediction & reference).sum())
    wanted, predicted = int(reference.sum()), int(prediction.sum())
    pieces, count = ndimage.label(prediction, np.ones((3, 3, 3)))
    touching = set(np.unique(pieces[reference])) - {0}
    outside = [number for number in range(1, count + 1) if number not in touching]
    in_them = int(np.isin(pieces, outside).sum())
    volumes = [wanted * voxel_ml, predicted * voxel_ml]
    shares = [found / wanted, found / predicted, *volumes, 100 * abs(predicted - wanted) / wanted]
    return [*shares, len(outside), in_them * voxel_ml]


def main(labels: Path, references: Path) -> None:
    """Measure each case, and print a table with means and standard deviations."""
    figures = {}
    for file in list_volumes(labels):
        prediction, affine = load_labels(file)
        reference, _ = load_labels(references / file.name)
        figures[file.name.split(".")[0]] = measure(prediction > 0, reference > 0, voxel_volume_ml(affine))
    table = np.array(list(figures.values()))
    figures |= {"mean": table.mean(0).tolist(), "std": table.std(0, ddof=1).tolist()}
    print(*align([HEADINGS, *([case, *(f"{value:.3f}" for value in row)] for case, row in figures.items())]), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
