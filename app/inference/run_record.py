"""`run.json`: what was run, with what, on what, and what became of each case; statistics, where they were asked for.

What earlier runs noted of a label map that is there stays, until a run makes the label map anew.
"""

from __future__ import annotations

import csv
import io
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
from hybridseg.transforms.io.atomic import replacing

RUN, STATISTICS = "run.json", "statistics"


@dataclass
class RunRecord:
    """The record of a run into a folder; cases that an earlier run finished keep what that one noted.

    Args:
        folder: of the run.
        about: versions, bundle, device and options.
        cases: what became of each case of this run, by name.
        statistics: rows of each case of this run, by name.
    """

    folder: Path
    about: Mapping[str, Any]
    cases: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    statistics: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = now()
        self.read_earlier()

    def read_earlier(self) -> None:
        """Read what other runs noted of the label maps that are there.

        Raises:
            VolumeError: a record cannot be read.
        """
        cases = {case["case"]: case for case in read(self.folder / RUN).get("cases", [])}
        statistics: dict[str, list[Mapping[str, Any]]] = {}
        for row in read(self.folder / f"{STATISTICS}.json").get("labels", []):
            statistics.setdefault(row["case"], []).append(row)
        self.earlier = {name: case for name, case in cases.items() if self.is_there(name)}
        self.earlier_statistics = {name: rows for name, rows in statistics.items() if self.is_there(name)}

    def is_there(self, case: str) -> bool:
        """Whether a case has a label map."""
        return (self.folder / f"{case}.nii.gz").is_file()

    def note(self, case: Mapping[str, Any], statistics: Sequence[Mapping[str, Any]] = ()) -> None:
        """Note what became of a case."""
        name = case["case"]
        if case["outcome"] == "skipped":
            self.cases[name] = self.earlier.get(name, case)
            statistics = statistics or self.earlier_statistics.get(name, ())
        else:
            self.cases[name] = case
        if statistics:
            self.statistics[name] = statistics

    def merge(self, others: Iterable[RunRecord]) -> None:
        """Take in what other processes noted."""
        for other in others:
            self.cases |= other.cases
            self.statistics |= other.statistics

    def write(self, *, finished: bool = False) -> None:
        """Write the record, whole or not at all, with what others that run side by side have noted meanwhile."""
        with suppress(VolumeError):  # otherwise as it was at first
            self.read_earlier()
        cases = self.earlier | self.cases
        record = {
            **self.about,
            "started": self.started,
            "finished": now() if finished else None,
            "cases": [cases[name] for name in sorted(cases)],
        }
        own = f".{uuid4().hex}"  # of jobs that write at the same time, none renames what another has half written
        with replacing(self.folder / RUN, own) as temporary:
            temporary.write_text(as_json(record) + "\n", encoding="utf-8")
        untouched = {name: rows for name, rows in self.earlier_statistics.items() if name not in self.cases}
        statistics = untouched | self.statistics
        rows = [row for name in sorted(statistics) for row in statistics[name]]
        if not rows:
            for kind in ("json", "csv") if self.earlier_statistics else ():  # of label maps that are others now
                (self.folder / f"{STATISTICS}.{kind}").unlink(missing_ok=True)
            return
        with replacing(self.folder / f"{STATISTICS}.json", own) as temporary:
            temporary.write_text(as_json({"labels": rows}) + "\n", encoding="utf-8")
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, fieldnames=list(dict.fromkeys(chain.from_iterable(rows))))
        writer.writeheader()
        writer.writerows(rows)
        with replacing(self.folder / f"{STATISTICS}.csv", own) as temporary:
            temporary.write_text(table.getvalue(), encoding="utf-8", errors="backslashreplace", newline="")


def read(path: Path) -> Mapping[str, Any]:
    """An earlier record; empty where there is none."""
    record = read_json(path) if path.is_file() else {}
    return record if isinstance(record, Mapping) else {}


def now() -> str:
    """The time of day, with its zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
