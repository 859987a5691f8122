"""Segment many volumes, one at a time: the next one is read and the last one written in the meantime."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from tqdm import tqdm

from hybridseg.app.runtime.console import hides_bars, say
from hybridseg.app.runtime.failed_cases import catch_failure
from hybridseg.app.runtime.machine import peak_memory_bytes
from hybridseg.transforms.errors import PathLike, VolumeError

if TYPE_CHECKING:
    from hybridseg.transforms.datasets.input_case import InputCase

    from .formats import FormatReport
    from .predictor import Data, Predictor

CaseStatus = Literal["waiting", "written", "skipped", "failed"]
Finish = Callable[["InputCase", "Data"], object]
"""Writes all results of a case whose logits are computed."""


@dataclass(kw_only=True)
class PredictedCase:
    """The record of one case.

    Args:
        case: name of the case.
        inputs: its volume, or the volume of each of its channels.
        input_states: size and time of change of each input before it was read; see `input_state`.
        output: file of the label map.
        outcome: `waiting` at first; finally `written`, `skipped` because the output exists, or `failed`.
        seconds: duration of each stage: `preparing`, `network`, `writing`. Stages of different cases overlap.
        peak_memory_bytes: peak memory of the process when the case was done; of the GPU if there is one.
        notes: what was chosen, skipped or corrected when reading or writing DICOM, a line each.
        error: why the case failed.
        outside: how its scan differs from what the model was trained on.
        unwritten: why a format was not written, by format; None if none but NIfTI was wanted.
    """

    case: str
    inputs: list[str]
    output: str
    input_states: list[list[float] | None] = field(default_factory=list)
    outcome: CaseStatus = "waiting"
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    outside: list[str] = field(default_factory=list)
    unwritten: dict[str, str] | None = None

    @property
    def lines(self) -> list[str]:
        """What to print about the case, one line each."""
        lines = list(self.notes)
        if self.outside:
            lines.append(f"{self.case}: outside what the model was trained on: {', '.join(self.outside)}")
        lines += (self.unwritten or {}).values()
        return lines if self.error is None else [*lines, self.error]

    @property
    def is_complete(self) -> bool:
        """Whether all that was wanted of the case is written."""
        return self.outcome != "failed" and not self.unwritten

    def record(self) -> dict[str, Any]:
        """Return the record for JSON."""
        return asdict(self)

    def note_formats(self, report: FormatReport, *, wanted: bool) -> None:
        """Record what happened when the case was written in other formats, if any were wanted."""
        self.outside = report.outside
        self.notes += report.notes
        self.unwritten = report.unwritten if wanted else None

    def note_inputs(self) -> None:
        """Note the state of the inputs before they are read."""
        self.input_states = [input_state(path) for path in self.inputs]

    def check_inputs(self) -> None:
        """Check that the inputs are those that were read: results are made of them again, such as statistics.

        Raises:
            VolumeError: an input changed since.
        """
        for path, state in zip(self.inputs, self.input_states, strict=True):
            if input_state(path) != state:
                raise VolumeError(path, "changed while it was segmented", "repeat the command when it is complete")

    def fail(self, message: str) -> None:
        """Note that the case failed, and why."""
        self.outcome, self.error = "failed", message

    @contextmanager
    def stage(self, name: str, *, debug: bool) -> Iterator[None]:
        """Time a stage; an error fails the case and is not raised, so that the other cases continue."""
        start = monotonic()
        with catch_failure(", ".join(dict.fromkeys(self.inputs)), self.fail, debug=debug):
            yield
        self.seconds[name] = round(monotonic() - start, 3)


def input_state(path: PathLike) -> list[float] | None:
    """Return size and time of change of an input, which tell it from one that replaces it; None if there is none.

    Of a folder, the number of its files and its own time of change.
    """
    from hybridseg.transforms.store.identity import files_of

    try:
        if os.path.isdir(path):
            return [len(os.listdir(path)), os.stat(path).st_mtime]
        files = [os.stat(file) for file in files_of(path)]
    except OSError:
        return None
    return [sum(file.st_size for file in files), max(file.st_mtime for file in files)] if files else None


def segment_cases(
    predictor: Predictor,
    work: Sequence[tuple[InputCase, PredictedCase]],
    finish: Finish,
    *,
    probabilities: bool = False,
    debug: bool = False,
) -> Iterator[PredictedCase]:
    """Segment cases; at most one is read ahead, and at most one waits to be written.

    A case that does not fit into memory beside the others waits until they are written; one that does not fit alone
    fails.

    Args:
        predictor: the bundle.
        work: each case and its record, which is updated.
        finish: writes the results of a case.
        probabilities: whether `finish` writes them too, which needs memory.
        debug: print the traceback of an error.

    Yields:
        Each record as soon as its case is done.
    """
    from .memory import available_memory, check_loading, check_network, logit_bytes

    def prepare(case: InputCase, record: PredictedCase) -> Data:
        with record.stage("preparing", debug=debug):
            check_loading(predictor, case, probabilities=probabilities)
            record.note_inputs()
            record.notes = case.notes()
            return predictor.prepare(case.entry)
        return {}

    def prepare_ahead(case: InputCase, record: PredictedCase, beside: int = 0) -> Data | None:
        try:
            check_loading(predictor, case, beside, probabilities=probabilities)
        except Exception:  # it is prepared alone, where this error is reported if it still occurs
            return None
        return prepare(case, record)

    def write(case: InputCase, record: PredictedCase, data: Data) -> PredictedCase:
        if record.outcome != "failed":
            with record.stage("writing", debug=debug):
                finish(case, data)
                record.outcome = "written"
        record.peak_memory_bytes = peak_memory_bytes(predictor.device)
        return record

    reading, writing = ThreadPoolExecutor(1, "reading"), ThreadPoolExecutor(1, "writing")
    finishing: Future[PredictedCase] | None = None
    try:
        ahead = [reading.submit(prepare_ahead, *item) for item in work[:1]]
        for index, (case, record) in enumerate(work):
            data = ahead.pop().result()
            beside = logit_bytes(predictor, data["image"][0].numel()) if data else 0
            if finishing is not None and (data is None or beside > available_memory()):
                yield finishing.result()
                finishing = None
            if data is None:
                data = prepare(case, record)
            ahead += [reading.submit(prepare_ahead, *item, beside) for item in work[index + 1 : index + 2]]
            if record.outcome != "failed":
                with record.stage("network", debug=debug):
                    check_network(predictor, case, data, probabilities=probabilities)
                    data = infer(predictor, data, record.case)
            if finishing is not None:
                yield finishing.result()
            finishing = writing.submit(write, case, record, data)
            del data
        if finishing is not None:
            yield finishing.result()
    finally:
        if finishing is not None and not finishing.done():
            say("predict", "stopping: waiting until the previous case is written")
        for pool in (reading, writing):
            pool.shutdown(cancel_futures=True)


def infer(predictor: Predictor, data: Data, case: str) -> Data:
    """Apply the network to a case, with a progress bar over its windows."""
    with tqdm(desc=case, unit="window", leave=False, disable=hides_bars()) as bar:

        def advance(windows: int, total: int) -> None:
            bar.total = total
            bar.update(windows)

        return predictor.infer(data, advance)
