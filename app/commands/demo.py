"""`hybridseg demo`: train on phantoms, segment, evaluate and draw, in a few minutes."""

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
from hybridseg.app.runtime.options import check_at_least
from hybridseg.bundles import bundle_path

from .command import BUNDLE_DEFAULT, ComputingCommand, make_folder

if TYPE_CHECKING:
    from hybridseg.app.evaluation.metrics import LabelScore

BUNDLE = "phantom_ct_segmentation"
TRAINING_CASES, UNSEEN_CASES = 12, 4
TOLERANCE = 4.0
"""Tolerance of the surface Dice in mm: about a voxel of a phantom."""
WINDOW = (-200.0, 300.0)
"""Window of the picture in HU."""
MARKER = "demo.json"
"""Marks the folder of a demo, which the next demo may replace."""


@dataclass
class Demo(ComputingCommand):
    """Train on phantom CT volumes, then segment, evaluate and draw unseen ones: a few minutes on two CPU cores."""

    examples = ("", "-o runs/demo --epochs 20")

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = Path("runs/demo")
    """Folder for all results: a new or empty one, or that of an earlier demo, whose results are replaced."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed of the phantoms and of the training; another seed draws other patients."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Number of epochs; fewer are faster but segment worse."""

    def run(self) -> int:
        """Train, segment, evaluate and draw.

        Returns:
            0, or 1 when the training or a case failed.

        Raises:
            ValueError: an option cannot be used, or the folder cannot be made or written to.
        """
        check_at_least(0, seed=self.seed)
        check_at_least(1, epochs=self.epochs)
        start = monotonic()
        self.prepare_folder()
        from hybridseg.transforms.phantoms import write_phantoms

        phantoms = self.output / "phantoms"
        print(f"[1/4] drawing {TRAINING_CASES} phantoms to train on and {UNSEEN_CASES} to test: {phantoms}", flush=True)
        shown = sys.stderr.isatty()
        write_phantoms(phantoms, TRAINING_CASES, seed=self.seed, test_count=UNSEEN_CASES, progress=shown)
        command = self.training_command()
        print(f"[2/4] training; on your own dataset it is the same command:\n\n{show_command(command)}\n", flush=True)
        log = self.output / "training.log"
        try:
            run_child(command, log, show_traceback=self.debug)
        except subprocess.CalledProcessError as error:
            say("demo", f"training failed: {error.output} (full output: {log})")
            return 1
        print(f"\n[3/4] segmenting the {UNSEEN_CASES} unseen phantoms: {self.output / 'predictions'}", flush=True)
        cases = self.predict()
        if failed := [case for case in cases if case.error is not None]:
            say("demo", str(failed[0].error))
            return 1
        print(f"[4/4] evaluating and drawing them: {self.output / 'evaluation'}\n", flush=True)
        picture = self.evaluate(cases).resolve()
        minutes = round((monotonic() - start) / 60, 1)
        from hybridseg.transforms.io.json_files import read_json

        summary = read_json(self.output / "evaluation" / "summary.json")
        record = {"picture": str(picture), "minutes": minutes, "summary": summary}
        self.show(record, f"\npicture  {picture}\ntime     {minutes} minutes")
        return 0

    def prepare_folder(self) -> None:
        """Make the folder, or remove the results of an earlier demo from it, and nothing else."""
        results = ("phantoms", "run", "predictions", "evaluation", "training.log", "demo.png")
        make_folder(self.output)
        found = [entry.name for entry in self.output.iterdir()]
        if found and MARKER not in found:
            raise ValueError(f"output: {self.output}: must be empty, or the folder of an earlier demo (with {MARKER})")
        for name in results:
            path = self.output / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        record = {"seed": self.seed, "epochs": self.epochs}
        (self.output / MARKER).write_text(json.dumps(record) + "\n", encoding="utf-8")

    def training_command(self) -> list[str]:
        """Return the command that trains the bundle on the phantoms."""
        options: dict[str, object] = {"dataset_dir": self.output / "phantoms", "run_dir": self.output / "run"}
        if self.seed:
            options["seed"] = self.seed
        if self.epochs is not None:
            options |= {"max_epochs": self.epochs, "val_interval": max(1, self.epochs // 6)}
        return bundle_run([bundle_path(BUNDLE) / "configs" / "train.json"], options)

    def predict(self) -> list[PredictedCase]:
        """Segment the unseen phantoms."""
        from hybridseg.app.inference.formats import FormatWriter
        from hybridseg.app.inference.outputs import Outputs
        from hybridseg.app.inference.predictor import Predictor
        from hybridseg.transforms.datasets.inputs import find_cases

        predictor = Predictor(BUNDLE, checkpoint=self.output / "run" / "model.pt")
        folder = self.output / "predictions"
        formats = FormatWriter.for_bundle(bundle_path(BUNDLE), folder, (), predictor.label_names)
        outputs = Outputs(folder=folder, predictor=predictor, labels=predictor.label_names, formats=formats)
        work = []
        for case in find_cases([self.output / "phantoms" / "imagesTs"]):
            output = outputs.folder / f"{case.name}.nii.gz"
            work.append((case, PredictedCase(case=case.name, inputs=[str(case.images[0])], output=str(output))))
        return list(segment_cases(predictor, work, outputs.write, debug=self.debug))

    def evaluate(self, cases: list[PredictedCase]) -> Path:
        """Score the predictions, print the table, draw the case of median Dice, and return the picture's path."""
        from hybridseg.app.evaluation.files import score_files
        from hybridseg.app.evaluation.tables import summary_table, write_reports
        from hybridseg.app.figures.case import draw_case
        from hybridseg.transforms.io.load import LoadVolumed
        from hybridseg.transforms.phantoms import ORGANS

        references = {case.case: self.output / "phantoms" / "labelsTs" / f"{case.case}.nii.gz" for case in cases}
        by_case = {
            case.case: score_files(Path(case.output), references[case.case], label_names=ORGANS, tolerance=TOLERANCE)
            for case in cases
        }
        scores = [score for case_scores in by_case.values() for score in case_scores]
        write_reports(scores, self.output / "evaluation", tolerance=TOLERANCE)
        print(summary_table(scores, tolerance=TOLERANCE))
        shown = sorted(cases, key=lambda case: mean_dice(by_case[case.case]))[len(cases) // 2]
        load = LoadVolumed(["image", "reference", "prediction"], label_keys=["reference", "prediction"])
        volumes = load({"image": shown.inputs[0], "reference": references[shown.case], "prediction": shown.output})
        picture = self.output / "demo.png"
        draw_case(
            picture,
            image=volumes["image"],
            reference=volumes["reference"],
            prediction=volumes["prediction"],
            label_names=ORGANS,
            dice={score.label: score.dice for score in by_case[shown.case]},
            title=f"{shown.case}, not seen in training",
            window=WINDOW,
        )
        return picture


def mean_dice(scores: list[LabelScore]) -> float:
    """Return the mean Dice over the labels that have one."""
    return fmean([score.dice for score in scores if score.dice is not None] or [0.0])
