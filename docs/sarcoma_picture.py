"""Draw three test patients of the sarcoma bundle: `python docs/sarcoma_picture.py sarcoma_petct`.

The best, the median and the worst test case by Dice; none was used in training. CT and PET are from the collection
Soft-tissue-Sarcoma of The Cancer Imaging Archive (Vallières et al. 2015, doi:10.7937/K9/TCIA.2015.7GO2GSKS), CC BY 3.0.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from hybridseg.app.inference import Predictor
from hybridseg.transforms import LoadVolumed
from hybridseg.transforms.spatial import resample_onto

BUNDLE = "sarcoma_petct_segmentation"
CASES = {"STS_014": "best", "STS_029": "median", "STS_015": "worst"}
PICTURE = Path(__file__).parent / "images" / "sarcoma.png"
REFERENCE, PREDICTION = "#5ee08a", "#ff6f91"
WINDOW, HIGHEST = (-160, 240), 10
"""HU drawn black and white; SUV at the upper end of the colours."""


def main(dataset: Path) -> None:
    """Segment the cases, and draw the slice with most of the tumour.

    Args:
        dataset: folder with `imagesTr` and `labelsTr`.
    """
    predictor = Predictor(BUNDLE, "cpu")
    load = LoadVolumed(["image", "label"], channels=2, one_grid=False)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for panel, (case, rank) in zip(figure.subplots(1, len(CASES)), CASES.items(), strict=True):
        files = [dataset / "imagesTr" / f"{case}_{channel:04}.nii.gz" for channel in range(2)]
        volumes = load({"image": files, "label": dataset / "labelsTr" / f"{case}.nii.gz"})
        ct, pet, reference = volumes["image"], volumes["image_1"], volumes["label"][0].numpy() == 1
        suv = resample_onto(pet, ct.shape[1:], ct.affine.numpy(), outside=0.0)[0].numpy()
        prediction = predictor.predict(files)[0].numpy() == 1
        dice = 2 * (reference & prediction).sum() / (reference.sum() + prediction.sum())
        index = reference.sum((0, 1)).argmax()
        views = {"origin": "lower", "aspect": "equal"}
        panel.imshow(ct[0, :, :, index].numpy().T, cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1], **views)
        shade = np.clip(suv[:, :, index].T / HIGHEST, 0, 1)
        panel.imshow(shade, cmap="hot", alpha=0.6 * shade, vmin=0, vmax=1, **views)
        for mask, colour in ((reference, REFERENCE), (prediction, PREDICTION)):
            panel.contour(mask[:, :, index].T, [0.5], colors=colour, linewidths=1.5)
        if ct.affine[0, 0] > 0:  # the patient's right on the left
            panel.invert_xaxis()
        if ct.affine[1, 1] < 0:  # the front on top
            panel.invert_yaxis()
        panel.set_title(f"{case}, {rank}: Dice {dice:.3f}", fontsize=10)
        panel.set_axis_off()
    handles = [panel.plot([], [], color=colour)[0] for colour in (REFERENCE, PREDICTION)]
    figure.legend(handles, ["reference", "prediction"], loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(PICTURE, dpi=110)
    with Image.open(PICTURE) as picture:
        picture.convert("RGB").quantize(128).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
