"""Segment many volumes one after another: while one is computed, the next is read and the last is written."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from tqdm import tqdm

from hybridseg.app.runtime.console import one_line, say
from hybridseg.app.runtime.machine import peak_memory_bytes

if TYPE_CHECKING:
    from hybridseg.transforms.datasets.inputs import InputCase

    from .predictor import Data, Predictor

CaseStatus = Literal["waiting", "written", "skipped", "failed"]
Finish = Callable[["InputCase", "Data"], object]
"""Writes all results of a case whose logits are there."""


@dataclass(kw_only=True)
class PredictedCase:
    """What became of one case.

    Args:
        case: its name.
        input: the volume, or the volumes of its channels.
        output: the label map's file.
        outcome: `waiting` at first; at the end `written`, `skipped` since the output was there, or `failed`.
        seconds: what its stages took: `preparing`, `network`, `writing`. Stages of several cases overlap.
        peak_memory_bytes: most memory that the process had held when the case was done; of the GPU, where there is one.
        error: why it failed.
    """

    case: str
    input: str
    output: str
    outcome: CaseStatus = "waiting"
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int | None = None
    error: str | None = None

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @contextmanager
    def stage(self, name: str, *, debug: bool) -> Iterator[None]:
        """Time a stage; whatever goes wrong is noted, so that other cases can go on."""
        start = monotonic()
        try:
            yield
        except Exception as error:
            if debug:
                traceback.print_exception(error)
            message = one_line(error)
            self.outcome, self.error = "failed", message if self.input in message else f"{self.input}: {message}"
        self.seconds[name] = round(monotonic() - start, 3)


def segment_cases(
    predictor: Predictor, work: Sequence[tuple[InputCase, PredictedCase]], finish: Finish, *, debug: bool = False
) -> Iterator[PredictedCase]:
    """Segment cases; at most one is read ahead, and one waits to be written.

    Args:
        predictor: the bundle.
        work: what to segment, and the record where its end is noted.
        finish: writes the results of a case.
        debug: show the traceback of an error.

    Yields:
        Each record when its case is done.
    """

    def prepare(case: InputCase, record: PredictedCase) -> Data:
        with record.stage("preparing", debug=debug):
            return predictor.prepare(case.entry)
        return {}

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
        ahead = [reading.submit(prepare, *item) for item in work[:1]]
        for index, (case, record) in enumerate(work):
            data = ahead.pop().result()
            ahead += [reading.submit(prepare, *item) for item in work[index + 1 : index + 2]]
            if record.outcome != "failed":
                with record.stage("network", debug=debug):
                    data = infer(predictor, data, record.case)
            if finishing is not None:
                yield finishing.result()
            finishing = writing.submit(write, case, record, data)
            del data
        if finishing is not None:
            yield finishing.result()
    finally:
        if finishing is not None and not finishing.done():
            say("predict", "stopping: the case before is still being written")
        for pool in (reading, writing):
            pool.shutdown(cancel_futures=True)


def infer(predictor: Predictor, data: Data, case: str) -> Data:
    """Put the network over a case, with a progress bar over its windows."""
    with tqdm(desc=case, unit="window", leave=False, disable=None) as bar:

        def advance(windows: int, total: int) -> None:
            bar.total = total
            bar.update(windows)

        return predictor.infer(data, advance)
