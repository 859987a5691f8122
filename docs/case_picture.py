"""Draw the patient of the README: `python docs/case_picture.py Task04_Hippocampus`.

The case is the median of the hippocampus bundle's test cases by mean Dice; it was never used in training. Image and
reference are from the Medical Segmentation Decathlon, Task04, CC BY-SA 4.0.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hybridseg.app.evaluation import score_files
from hybridseg.app.figures import draw_case
from hybridseg.app.inference import Predictor
from hybridseg.transforms import LoadVolumed, write_labels

BUNDLE = "hippocampus_mri_segmentation"
CASE = "hippocampus_048"
PICTURE = Path(__file__).parent / "images" / "hippocampus.png"


def main(dataset: Path) -> None:
    """Segment the case, measure it and draw it.

    Args:
        dataset: folder of the Decathlon's Task04.
    """
    image, reference = (dataset / folder / f"{CASE}.nii.gz" for folder in ("imagesTr", "labelsTr"))
    predictor = Predictor(BUNDLE, "cpu")
    prediction = predictor.predict(image)
    with TemporaryDirectory() as folder:
        file = Path(folder) / image.name
        write_labels(prediction, file, reference=image)
        scores = score_files(file, reference, label_names=predictor.label_names)
    volumes = LoadVolumed(["image", "reference"], label_keys=["reference"])({"image": image, "reference": reference})
    draw_case(
        PICTURE,
        image=volumes["image"],
        reference=volumes["reference"],
        prediction=prediction,
        label_names=predictor.label_names,
        dice={score.label: score.dice for score in scores},
        title="A test case, never used in training",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
