"""The record of a run, `run.json`: versions, bundle, options and what happened to each case; and its statistics.

What earlier runs recorded about existing label maps stays until a run writes the label map again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

from hybridseg.app.runtime.console import as_json
from hybridseg.transforms.datasets.dataset import read_json
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.atomic import replacing, write_csv

RUN, STATISTICS = "run.json", "statistics"


@dataclass
class RunRecord:
    """The record of a run into a folder, which keeps what earlier runs recorded about cases they finished.

    Args:
        folder: output folder of the run.
        about: versions, bundle, device and options.
        cases: record of each case of this run, by name.
        statistics: statistics of each case of this run, by name: a row for each label and channel.
    """

    folder: Path
    about: Mapping[str, Any]
    cases: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    statistics: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = now()
        self.read_earlier()

    def read_earlier(self) -> None:
        """Read what other runs recorded about existing label maps.

        Raises:
            VolumeError: a record cannot be read.
        """
        cases = {case["case"]: case for case in read_record(self.folder / RUN).get("cases", [])}
        statistics: dict[str, list[Mapping[str, Any]]] = {}
        for row in read_record(self.folder / f"{STATISTICS}.json").get("labels", []):
            statistics.setdefault(row["case"], []).append(row)
        self.earlier = {name: case for name, case in cases.items() if self.has_label_map(name)}
        self.earlier_statistics = {name: rows for name, rows in statistics.items() if self.has_label_map(name)}

    def has_label_map(self, case: str) -> bool:
        """Return whether the label map of a case exists."""
        return (self.folder / f"{case}.nii.gz").is_file()

    def note(self, case: Mapping[str, Any], statistics: Sequence[Mapping[str, Any]] = ()) -> None:
        """Record a case and its statistics; for a skipped case, keep what an earlier run recorded."""
        name = case["case"]
        if case["outcome"] == "skipped":
            self.cases[name] = self.earlier.get(name, case)
            statistics = statistics or self.earlier_statistics.get(name, ())
        else:
            self.cases[name] = case
        if statistics:
            self.statistics[name] = statistics

    def merge(self, others: Iterable[RunRecord]) -> None:
        """Add the cases of other processes of the same run."""
        for other in others:
            self.cases |= other.cases
            self.statistics |= other.statistics

    def write(self, *, finished: bool = False) -> None:
        """Write `run.json` and the statistics atomically, with what concurrent runs have recorded in the meantime.

        Raises:
            OSError: a file cannot be written.
        """
        with suppress(VolumeError):  # a broken record: keep what was read at first
            self.read_earlier()
        cases = self.earlier | self.cases
        record = {
            **self.about,
            "started": self.started,
            "finished": now() if finished else None,
            "cases": [cases[name] for name in sorted(cases)],
        }
        own = f".{uuid4().hex}"  # a temporary name of our own: concurrent runs must not rename a half-written file
        with replacing(self.folder / RUN, own) as temporary:
            temporary.write_text(as_json(record) + "\n", encoding="utf-8")
        untouched = {name: rows for name, rows in self.earlier_statistics.items() if name not in self.cases}
        statistics = untouched | self.statistics
        rows = [row for name in sorted(statistics) for row in statistics[name]]
        if not rows:
            for kind in ("json", "csv") if self.earlier_statistics else ():  # of label maps that were replaced
                (self.folder / f"{STATISTICS}.{kind}").unlink(missing_ok=True)
            return
        with replacing(self.folder / f"{STATISTICS}.json", own) as temporary:
            temporary.write_text(as_json({"labels": rows}) + "\n", encoding="utf-8")
        write_csv(self.folder / f"{STATISTICS}.csv", list(dict.fromkeys(chain.from_iterable(rows))), rows, suffix=own)


def read_record(path: Path) -> Mapping[str, Any]:
    """Read an earlier record; empty if there is none.

    Raises:
        VolumeError: it cannot be read.
    """
    record = read_json(path) if path.is_file() else {}
    return record if isinstance(record, Mapping) else {}


def now() -> str:
    """Return date and time with the time zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
