"""`hybridseg predict`: segment volumes with a bundle."""

from __future__ import annotations

import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tqdm import tqdm

from hybridseg.bundles import bundle_path

from .command import Command
from .folders import make_folder
from .terminal import one_line, say

if TYPE_CHECKING:
    from .predictor import Predictor


@dataclass(kw_only=True)
class PredictedCase:
    """What became of one case.

    Args:
        case: its name.
        input: the volume's file.
        output: the label map's file.
        outcome: `waiting` at first; at the end `written`, `skipped` since the output was there, or `failed`.
        seconds: from reading to writing.
        error: why it failed.
    """

    case: str
    input: str
    output: str
    outcome: Literal["waiting", "written", "skipped", "failed"] = "waiting"
    seconds: float | None = None
    error: str | None = None


@dataclass
class Predict(Command):
    """Segment volumes with a bundle; writes OUTPUT/CASE.nii.gz for every volume, on its own grid."""

    inputs: tyro.conf.Positional[
        Annotated[tuple[Path, ...], tyro.conf.arg(metavar="INPUT [INPUT ...]", help_behavior_hint="(required)")]
    ]
    """Volumes (.nii, .nii.gz, .nrrd, .mha, .mhd), or folders of them."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the label maps; made if need be."""
    bundle: Annotated[str, tyro.conf.arg(metavar="NAME|FOLDER")]
    """Shipped bundle (`hybridseg info` lists them), or the folder of any bundle."""
    checkpoint: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Other weights than the bundle's, such as the model.pt of a training."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda or cuda:N; auto takes a GPU if there is one."""
    overwrite: bool = False
    """Write label maps that are already there again; otherwise they are skipped."""
    json: bool = False
    """Print what became of each case as JSON."""

    def run(self) -> int:
        """Segment the volumes.

        Returns:
            0 when every label map is there, 1 when some cases failed.

        Raises:
            ValueError: an input, the output, the bundle, its weights or the device cannot be used.
        """
        bundle = bundle_path(self.bundle)
        cases = self.list_cases()
        make_folder(self.output)
        waiting = [case for case in cases if case.outcome == "waiting"]
        if waiting:
            from .predictor import Predictor

            predictor = Predictor(bundle, self.device, self.checkpoint)
            for case in tqdm(waiting, desc="cases", unit="case", leave=False, disable=None):
                predict_case(predictor, case, debug=self.debug)
                if case.error is not None:
                    say("predict", case.error)
        self.report(cases)
        return int(any(case.outcome == "failed" for case in cases))

    def list_cases(self) -> list[PredictedCase]:
        """The cases to segment, and those to skip."""
        from hybridseg.transforms.cases import case_name, find_volumes

        cases = []
        for path in find_volumes(self.inputs):
            output = self.output / f"{case_name(path)}.nii.gz"
            case = PredictedCase(case=case_name(path), input=str(path), output=str(output))
            if output.exists():
                if output.samefile(path):
                    raise ValueError(f"output: {output}: must be another file than the input")
                case.outcome = "waiting" if self.overwrite else "skipped"
            cases.append(case)
        return cases

    def report(self, cases: list[PredictedCase]) -> None:
        """Print how it ended, for people or for machines."""
        if self.json:
            from .reports import as_json

            print(as_json([asdict(case) for case in cases]))
            return
        written = sum(case.outcome == "written" for case in cases)
        skipped = sum(case.outcome == "skipped" for case in cases)
        print(f"{written} of {len(cases)} cases written to {self.output}", end="")
        print(f", {skipped} skipped: already there (--overwrite writes them again)" if skipped else "")


def predict_case(predictor: Predictor, case: PredictedCase, *, debug: bool = False) -> None:
    """Segment one case and write its label map; whatever goes wrong is noted, so that the others can go on.

    Args:
        predictor: the bundle.
        case: what to segment; its outcome, seconds and error are set.
        debug: show the traceback of an error.
    """
    from hybridseg.transforms.writing import write_labels

    start = monotonic()
    try:
        with tqdm(desc=case.case, unit="window", leave=False, disable=None) as bar:

            def advance(windows: int, total: int) -> None:
                bar.total = total
                bar.update(windows)

            labels = predictor.predict(case.input, advance)
        write_labels(labels.numpy(), case.output, reference=case.input, affine=labels.affine.numpy())
    except Exception as error:
        if debug:
            traceback.print_exception(error)
        message = one_line(error)
        case.outcome, case.error = "failed", message if case.input in message else f"{case.input}: {message}"
    else:
        case.outcome = "written"
    case.seconds = round(monotonic() - start, 3)
