"""What a reader notes of cases: accepted or rejected, and why, in a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from hybridseg.app.runtime.record import now
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.atomic import FORMULA_STARTS, write_csv

FIELDS = ("case", "verdict", "note", "time")
VERDICTS = ("", "accepted", "rejected")
LONGEST_NOTE = 2000
"""Characters of a note."""
RULE = f"must be a CSV file with the columns {', '.join(FIELDS)}"


@dataclass
class ReviewNotes:
    """The notes in a file, which is written anew after each; notes of other cases stay.

    Args:
        path: the file, which need not exist.

    Raises:
        VolumeError: the file has other content.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     ReviewNotes(Path(folder) / "review.csv").set("liver_1", "rejected", "leaks into the heart")
        ...     ReviewNotes(Path(folder) / "review.csv").rows["liver_1"]["verdict"]
        'rejected'
    """

    path: Path
    rows: dict[str, Mapping[str, str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.lock = Lock()
        if not self.path.exists():
            return
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                table = csv.DictReader(file)
                rows = [{name: original(value or "") for name, value in row.items() if name} for row in table]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise VolumeError(self.path, error, RULE) from error
        if tuple(table.fieldnames or ()) != FIELDS:
            raise VolumeError(self.path, "other columns", RULE)
        self.rows = {row["case"]: row for row in rows}

    def set(self, case: str, verdict: str, note: str) -> None:
        """Note a verdict on a case, or remove it where both are empty, and write the file.

        Raises:
            ValueError: an unknown verdict, or a note that is too long.
            OSError: the file cannot be written.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"verdict: {verdict!r}: must be one of {', '.join(map(repr, VERDICTS))}")
        if len(note) > LONGEST_NOTE:
            raise ValueError(f"note: {len(note)} characters: must be at most {LONGEST_NOTE}")
        with self.lock:
            rows = {name: row for name, row in self.rows.items() if name != case}
            if verdict or note:
                rows[case] = {"case": case, "verdict": verdict, "note": note, "time": now()}
            write_csv(self.path, FIELDS, [rows[name] for name in sorted(rows)])
            self.rows = rows


def original(cell: str) -> str:
    """Return the text of a cell that `write_csv` wrote.

    Examples:
        >>> original("'=1+1"), original("'quoted'")
        ('=1+1', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(FORMULA_STARTS) else cell
