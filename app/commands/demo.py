"""`hybridseg demo`: the whole path in a few minutes, on phantoms: train, segment, measure, draw."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import tyro

from hybridseg.app.bundling.monai_command import bundle_run, show_command
from hybridseg.app.inference.cohort import PredictedCase, segment_cases
from hybridseg.app.runtime.child_process import run_child
from hybridseg.app.runtime.console import say
from hybridseg.bundles import bundle_path

from .command import Command, make_folder

if TYPE_CHECKING:
    from hybridseg.app.evaluation.metrics import LabelScore

BUNDLE = "phantom_ct_segmentation"
TRAINING_CASES, UNSEEN_CASES = 12, 4
TOLERANCE = 4.0
"""Of the surface Dice, in mm: about a voxel of a phantom."""
WINDOW = (-200.0, 300.0)
"""HU drawn black and white."""
MARKER = "demo.json"
"""Tells that a folder is that of a demo, and may be used by the next."""


@dataclass
class Demo(Command):
    """Train on phantom CT volumes, segment and measure unseen ones, and draw one: some minutes on two CPU cores."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = Path("runs/demo")
    """Folder for all that is made: a new or empty one, or that of an earlier demo, which is replaced."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of the phantoms and of the training; another seed gives other patients."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the bundle's)")] = None
    """Epochs to train; fewer are faster and worse."""

    def run(self) -> int:
        """Run it.

        Returns:
            0, or 1 when the training or a case failed.

        Raises:
            ValueError: an option cannot be used, or the folder cannot be made or written to.
        """
        for name, value, least in (("seed", self.seed, 0), ("epochs", self.epochs, 1)):
            if value is not None and value < least:
                raise ValueError(f"{name}: {value}: must be at least {least}")
        start = monotonic()
        self.prepare_folder()
        from hybridseg.transforms.phantoms.abdomen import write_phantoms

        phantoms = self.output / "phantoms"
        print(f"[1/4] drawing {TRAINING_CASES} phantoms to train on and {UNSEEN_CASES} to test: {phantoms}", flush=True)
        shown = sys.stderr.isatty()
        write_phantoms(phantoms, TRAINING_CASES, seed=self.seed, test_count=UNSEEN_CASES, progress=shown)
        command = self.training_command()
        print(f"[2/4] training, which on another dataset is the same command:\n\n{show_command(command)}\n", flush=True)
        log = self.output / "training.log"
        try:
            run_child(command, log, show_traceback=self.debug)
        except subprocess.CalledProcessError as error:
            say("demo", f"training failed: {error.output} ({log} has all that it printed)")
            return 1
        print(
            f"\n[3/4] segmenting the {UNSEEN_CASES} phantoms it has not seen: {self.output / 'predictions'}", flush=True
        )
        cases = self.predict()
        if failed := [case for case in cases if case.error is not None]:
            say("demo", str(failed[0].error))
            return 1
        print(f"[4/4] measuring and drawing them: {self.output / 'evaluation'}\n", flush=True)
        picture = self.evaluate(cases)
        print(f"\npicture  {picture.resolve()}\ntime     {(monotonic() - start) / 60:.1f} minutes")
        return 0

    def prepare_folder(self) -> None:
        """Make the folder, or empty that of an earlier demo; nothing is taken away that no demo has made."""
        made_by_demos = ("phantoms", "run", "predictions", "evaluation", "training.log", "demo.png")
        make_folder(self.output)
        found = [entry.name for entry in self.output.iterdir()]
        if found and MARKER not in found:
            raise ValueError(f"output: {self.output}: must be empty, or the folder of an earlier demo (with {MARKER})")
        for name in made_by_demos:
            path = self.output / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        record = {"seed": self.seed, "epochs": self.epochs}
        (self.output / MARKER).write_text(json.dumps(record) + "\n", encoding="utf-8")

    def training_command(self) -> list[str]:
        """The command that trains the bundle on the phantoms."""
        options: dict[str, object] = {"dataset_dir": self.output / "phantoms", "run_dir": self.output / "run"}
        if self.seed:
            options["seed"] = self.seed
        if self.epochs is not None:
            options |= {"max_epochs": self.epochs, "val_interval": max(1, self.epochs // 6)}
        return bundle_run([bundle_path(BUNDLE) / "configs" / "train.json"], options)

    def predict(self) -> list[PredictedCase]:
        """Segment the phantoms that the training has not seen."""
        from hybridseg.app.inference.outputs import Outputs
        from hybridseg.app.inference.predictor import Predictor
        from hybridseg.transforms.datasets.inputs import find_cases

        predictor = Predictor(BUNDLE, checkpoint=self.output / "run" / "model.pt")
        outputs = Outputs(folder=self.output / "predictions", predictor=predictor, labels=predictor.label_names)
        work = []
        for case in find_cases([self.output / "phantoms" / "imagesTs"]):
            output = outputs.folder / f"{case.name}.nii.gz"
            work.append((case, PredictedCase(case=case.name, inputs=[str(case.images[0])], output=str(output))))
        return list(segment_cases(predictor, work, outputs.write, debug=self.debug))

    def evaluate(self, cases: list[PredictedCase]) -> Path:
        """Measure the predictions, print the table, draw the case in the middle, and give the picture's path."""
        from hybridseg.app.evaluation.files import score_files
        from hybridseg.app.evaluation.tables import summary_table, write_reports
        from hybridseg.app.figures.case import draw_case
        from hybridseg.transforms.io.load import LoadVolumed
        from hybridseg.transforms.phantoms.abdomen_patient import ORGANS

        references = {case.case: self.output / "phantoms" / "labelsTs" / f"{case.case}.nii.gz" for case in cases}
        by_case = {
            case.case: score_files(Path(case.output), references[case.case], label_names=ORGANS, tolerance=TOLERANCE)
            for case in cases
        }
        scores = [score for case_scores in by_case.values() for score in case_scores]
        write_reports(scores, self.output / "evaluation", tolerance=TOLERANCE)
        print(summary_table(scores, tolerance=TOLERANCE))
        shown = sorted(cases, key=lambda case: mean_dice(by_case[case.case]))[len(cases) // 2]
        load = LoadVolumed(["image", "truth", "prediction"], label_keys=["truth", "prediction"])
        volumes = load({"image": shown.inputs[0], "truth": references[shown.case], "prediction": shown.output})
        picture = self.output / "demo.png"
        draw_case(
            picture,
            image=volumes["image"],
            truth=volumes["truth"],
            prediction=volumes["prediction"],
            label_names=ORGANS,
            dice={score.label: score.dice for score in by_case[shown.case]},
            title=f"{shown.case}, not seen in training",
            window=WINDOW,
        )
        return picture


def mean_dice(scores: list[LabelScore]) -> float:
    """Mean over the labels that were scored."""
    return fmean([score.dice for score in scores if score.dice is not None] or [0.0])
