"""Segment the cases of a run in this process, and write their results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hybridseg.transforms.datasets.input_case import InputCase

from .cohort import PredictedCase, segment_cases
from .existing import Work
from .outputs import Outputs
from .predictor import Data

Rows = dict[str, Sequence[Mapping[str, Any]]]
"""Statistics by case: a row for each label and channel."""


@dataclass(frozen=True, kw_only=True)
class Segmenter:
    """A loaded bundle and what to write of each case.

    Args:
        outputs: writes the results.
        settings: what makes the label maps, for the record: that of the run, and this machine.
        debug: print the traceback of an error.
        before_writing: called before the results of a case are written; an error fails the case.
    """

    outputs: Outputs
    settings: Mapping[str, Any]
    debug: bool = False
    before_writing: Callable[[], object] | None = None

    def run(self, work: Sequence[Work], rows: Rows) -> Iterator[PredictedCase]:
        """Segment cases.

        Args:
            work: each case and its record, which is updated.
            rows: receives the statistics of each case.

        Yields:
            Each record as soon as its case is done.
        """
        records = {case.name: record for case, record in work}

        def finish(case: InputCase, data: Data) -> None:
            if self.before_writing is not None:
                self.before_writing()
            record = records[case.name]
            record.check_inputs()
            measured, report = self.outputs.write(case, data, before_label_map=record.check_inputs)
            rows[case.name] = [asdict(row) for row in measured]
            record.note_formats(report, wanted=bool(self.outputs.formats.formats))

        outputs = self.outputs
        return segment_cases(outputs.predictor, work, finish, probabilities=outputs.probabilities, debug=self.debug)
