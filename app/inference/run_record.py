"""The record of a folder of label maps, `run.json`: what made each map, and what happened to each case; its statistics.

`runs` holds what made label maps (see `provenance`): each case names its `run`. The other entries at the top are those
of the last run that segmented a case. What earlier runs recorded about a label map stays until it is written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from hybridseg.app.runtime.record import digest, now
from hybridseg.transforms.errors import VolumeError, warn_of_volume
from hybridseg.transforms.io.atomic import write_csv
from hybridseg.transforms.io.json_files import as_json, read_json, write_json

from .cohort import CaseStatus
from .provenance import SHOWN_DIGITS

RUN, STATISTICS = "run.json", "statistics"
SETTINGS = ("versions", "bundle", "bundle_version", "inference_sha256", "checkpoints", "checkpoint_sha256", "device")
"""What is recorded of a run, and of the last run at the top of the record; `options` too."""
RULE = "must be written by hybridseg predict"
PER_FOLDER = "per_folder"
"""Marks settings that an earlier version recorded once for a folder: other runs may have made some of its maps."""


@dataclass
class RunRecord:
    """The record of a folder, with what this run adds to it.

    Args:
        folder: output folder of the run.
        settings: what makes the label maps of this run; empty until it segments a case.
        cases: record of each case of this run, by name.
        statistics: statistics of each case of this run, by name: a row for each label and channel.
    """

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    cases: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    statistics: dict[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = now()
        self.read_earlier()

    def read_earlier(self) -> None:
        """Read what other runs recorded.

        Raises:
            VolumeError: a record cannot be read.
        """
        record = read_run(self.folder)
        self.last = {name: value for name, value in record.items() if name not in ("runs", "cases")}
        self.runs, cases = recorded_runs(record)
        self.earlier = {case["case"]: case for case in map(self.settle, cases) if case is not None}
        statistics: dict[str, list[Mapping[str, Any]]] = {}
        for row in read_statistics(self.folder):
            statistics.setdefault(row["case"], []).append(row)
        self.earlier_statistics = {name: rows for name, rows in statistics.items() if self.has_label_map(name)}

    def settle(self, case: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return what an earlier record says of a case, or None if the label map that it describes is gone.

        A case that was still waiting, since its run was killed, was written by that run if its label map is new.
        """
        path = self.folder / f"{case['case']}.nii.gz"
        if case.get("outcome") == "waiting":
            before = case.get("before")
            if path.is_file() and "replaces" in case and file_state(path) != case["replaces"]:
                kept = {name: value for name, value in case.items() if name not in ("replaces", "before")}
                return {**kept, "outcome": "written"}
            return None if before is None else self.settle(before)
        if case.get("outcome") == "failed":
            made = case.get("run") is not None
            return case if made == path.is_file() else None
        return case if path.is_file() else None

    def has_label_map(self, case: str) -> bool:
        """Return whether the label map of a case exists."""
        return (self.folder / f"{case}.nii.gz").is_file()

    @property
    def run(self) -> str | None:
        """The number of this run's settings among `runs`; None until it segments a case."""
        return digest(self.settings)[:SHOWN_DIGITS] if self.settings else None

    def use(self, settings: Mapping[str, Any]) -> None:
        """Take settings for the cases that are noted next: machines that share a run differ in them."""
        self.settings = settings
        if self.run:
            self.runs[self.run] = settings

    def settings_of(self, case: str) -> Mapping[str, Any]:
        """Return the settings that made an existing label map, as far as they are recorded."""
        return self.runs.get(str(self.earlier.get(case, {}).get("run")), {})

    def known_settings(self, case: str) -> Mapping[str, Any] | None:
        """Return the settings that made an existing label map; None if they are not known for certain."""
        settings = self.settings_of(case)
        return None if not settings or PER_FOLDER in settings else settings

    def plan(self, cases: Iterable[Mapping[str, Any]]) -> None:
        """Record the cases that this run is about to segment, so that a killed run leaves no map of unknown origin."""
        for case in cases:
            name = case["case"]
            replaces = file_state(self.folder / f"{name}.nii.gz")
            self.cases[name] = {**case, "run": self.run, "replaces": replaces, "before": self.earlier.get(name)}

    def note(self, case: Mapping[str, Any], statistics: Sequence[Mapping[str, Any]] = ()) -> None:
        """Record a case and its statistics; for a skipped case, keep what an earlier run recorded."""
        name = case["case"]
        earlier = self.earlier.get(name)
        if case["outcome"] == "skipped":
            tried = case.get("unwritten") is not None  # formats made from the label map
            added = {key: case[key] for key in ("outside", "notes", "unwritten")} if tried else {}
            self.cases[name] = {**(earlier or {**case, "run": None}), **added}
            statistics = statistics or self.earlier_statistics.get(name, ())
        elif case["outcome"] == "written":
            self.cases[name] = {**case, "run": self.run, "finished": now()}
        else:  # a label map that an earlier run made stays
            made = earlier if earlier is not None and self.has_label_map(name) else {}
            inputs = {key: made.get(key) or [] for key in ("inputs", "input_states")} if made else {}
            self.cases[name] = {**case, **inputs, "run": made.get("run")}
            statistics = statistics or self.earlier_statistics.get(name, ())
        if statistics:
            self.statistics[name] = statistics

    def merge(self, others: Iterable[RunRecord]) -> None:
        """Add the cases of other processes of the same run."""
        for other in others:
            self.settings = self.settings or other.settings
            self.runs = {**self.runs, **({other.run: other.settings} if other.run else {})}
            self.cases |= other.cases
            self.statistics |= other.statistics

    def write(self, *, finished: bool = False) -> None:
        """Write `run.json` and the statistics atomically.

        Raises:
            OSError: a file cannot be written.
        """
        merged = self.runs
        with suppress(VolumeError):  # a broken record: keep what was read at first
            self.read_earlier()
        cases = self.earlier | self.cases
        runs = {**merged, **self.runs, **({self.run: self.settings} if self.run else {})}
        self.runs = runs
        used = {case.get("run") for case in cases.values()}
        used |= {case["before"].get("run") for case in cases.values() if case.get("before")}
        last = self.last
        if self.settings or not last:
            last = {**self.settings, "started": self.started, "finished": now() if finished else None}
        record = {
            **last,
            "runs": {name: settings for name, settings in runs.items() if name in used},
            "cases": [cases[name] for name in sorted(cases)],
        }
        write_json(self.folder / RUN, record)
        done = {name for name, case in self.cases.items() if case["outcome"] != "waiting"}
        untouched = {name: rows for name, rows in self.earlier_statistics.items() if name not in done}
        statistics = untouched | self.statistics
        rows = [row for name in sorted(statistics) for row in statistics[name]]
        if not rows:
            for kind in ("json", "csv") if self.earlier_statistics else ():  # of label maps that were replaced
                (self.folder / f"{STATISTICS}.{kind}").unlink(missing_ok=True)
            return
        write_json(self.folder / f"{STATISTICS}.json", {"labels": rows})
        write_csv(self.folder / f"{STATISTICS}.csv", list(dict.fromkeys(chain.from_iterable(rows))), rows)


def recorded_bundle(record: RunRecord) -> Path | None:
    """Return the folder of the bundle that made all label maps; None if there are several, or it is no longer there.

    Warns of a config that changed since: labels may have other names now.

    Raises:
        VolumeError: the config cannot be read.
    """
    bundles = {str(settings.get("bundle", "")) for settings in record.runs.values()}
    folder = Path(bundles.pop()) if len(bundles) == 1 else Path()
    config = folder / "configs" / "inference.json"
    if not config.is_file():
        return None
    made_with = {settings.get("inference_sha256") for settings in record.runs.values()} - {None}
    if made_with and made_with != {digest(read_json(config))}:
        doubt = "names of labels and regions may be others than when they were predicted"
        warn_of_volume(config, "changed since it made the label maps", doubt)
    return folder


def recorded_runs(record: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the settings by run, and the cases with their runs, of a record of this or an earlier version."""
    cases = record.get("cases", [])
    if "runs" in record:
        return dict(record["runs"]), cases
    settings = {name: record[name] for name in (*SETTINGS, "options") if name in record}
    if not settings:
        return {}, cases
    settings[PER_FOLDER] = True
    run = digest(settings)[:SHOWN_DIGITS]
    return {run: settings}, [{**case, "run": run} if case.get("outcome") == "written" else case for case in cases]


def read_run(folder: Path) -> Mapping[str, Any]:
    """Read the `run.json` of a folder; empty if there is none.

    Raises:
        VolumeError: it is not such a record.
    """
    path = folder / RUN
    record = read_record(path)
    cases, runs = record.get("cases", []), record.get("runs", {})
    if not isinstance(cases, list) or not all(map(is_case, cases)):
        raise VolumeError(path, "invalid list of cases", RULE)
    if not isinstance(runs, Mapping) or not all(map(is_run, [record, *runs.values()])):
        raise VolumeError(path, "invalid runs", RULE)
    return record


def read_statistics(folder: Path) -> list[Mapping[str, Any]]:
    """Read the rows of the statistics of a folder; empty if there are none.

    Raises:
        VolumeError: they cannot be read.
    """
    path = folder / f"{STATISTICS}.json"
    rows = read_record(path).get("labels", [])
    if not isinstance(rows, list) or not all(
        isinstance(row, Mapping) and isinstance(row.get("case"), str) for row in rows
    ):
        raise VolumeError(path, "invalid list of labels", RULE)
    return rows


def is_case(case: Any) -> bool:
    """Return whether the record of a case has what is read of it, in the right types."""
    if not isinstance(case, Mapping) or not isinstance(case.get("case"), str):
        return False
    inputs, before = case.get("inputs") or [], case.get("before")
    return (
        case.get("outcome") in get_args(CaseStatus)
        and isinstance(case.get("run"), str | None)
        and isinstance(inputs, list)
        and all(isinstance(path, str) for path in inputs)
        and isinstance(case.get("input_states") or [], list)
        and (before is None or is_case(before))
    )


def is_run(settings: Any) -> bool:
    """Return whether the settings of a run have what is read of them, in the right types."""
    if not isinstance(settings, Mapping):
        return False
    texts = [settings.get(name) for name in ("bundle", "bundle_version", "inference_sha256")]
    files, checksums = settings.get("checkpoints") or [], settings.get("checkpoint_sha256") or []
    return (
        all(isinstance(text, str | None) for text in texts)
        and isinstance(settings.get("options") or {}, Mapping)
        and isinstance(files, list)
        and all(isinstance(file, str) for file in files)
        and isinstance(checksums, list)
        and all(isinstance(checksum, str | None) for checksum in checksums)
        and (not checksums or len(checksums) == len(files))
    )


def read_record(path: Path) -> Mapping[str, Any]:
    """Read an earlier record; empty if there is none.

    Raises:
        VolumeError: it cannot be read, is not a JSON object, or has NaN or infinity, which JSON lacks.
    """
    record = read_json(path) if path.is_file() else {}
    if not isinstance(record, Mapping):
        raise VolumeError(path, "not a JSON object", RULE)
    try:
        as_json(record)  # it is written again
    except ValueError as error:
        raise VolumeError(path, error, RULE) from error
    return record


def file_state(path: Path) -> list[float] | None:
    """Return size and time of change of a file, which tell it from one that replaces it; None if there is none.

    Times are compared with each other only: the clocks of two machines, or of a disk in the network, may differ.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime]
