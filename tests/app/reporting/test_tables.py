"""Tables show numbers with their decimals, sort by their values, and mark what calls for attention."""

from __future__ import annotations

import pytest

from hybridseg.app.reporting.curves import Curve
from hybridseg.app.reporting.outliers import LabelVolume
from hybridseg.app.reporting.tables import (
    MOST_ROWS,
    MOST_STEPS,
    Table,
    curve_table,
    number,
    score_section,
    volume_section,
    word,
)

from ..report_pages import make_score


@pytest.mark.parametrize(("value", "shown"), [(-1.25, "\N{MINUS SIGN}1.2"), (-0.01, "0.0"), (None, "\N{EN DASH}")])
def test_number_is_formatted_and_keeps_its_value(value: float | None, shown: str) -> None:
    cell = number(value, 1, marked=True)
    assert (cell.shown, cell.value, cell.classes) == (shown, value, "number marked")


def test_column_with_a_number_is_a_column_of_numbers() -> None:
    table = Table(caption="", headings=["Case", "Dice"], rows=[[word("one"), number(None)], [word("two"), number(1)]])
    assert table.columns == [("Case", False), ("Dice", True)]


def test_table_of_scores_keeps_the_worst_rows() -> None:
    cases = [f"case_{index:04}" for index in range(MOST_ROWS + 1)]
    section = score_section([make_score(case, 1, "liver", 0.5) for case in reversed(cases)], cases)
    assert section is not None
    assert [row[0].shown for row in section.table.rows] == cases[:MOST_ROWS]
    assert section.note.startswith(f"Shows the worst {MOST_ROWS} of {MOST_ROWS + 1} rows")


def test_worst_label_of_a_case_comes_first() -> None:
    scores = [make_score("one", label, f"label {label}", dice) for label, dice in ((1, 0.9), (2, 0.1), (3, 0.5))]
    section = score_section(scores, ["one"])
    assert section is not None
    assert [row[1].shown for row in section.table.rows] == ["label 2", "label 3", "label 1"]


def test_outliers_are_marked_with_their_score() -> None:
    volumes = [LabelVolume(case=f"case_{index}", label=1, name="liver", ml=10.0, z=0.0) for index in range(5)]
    volumes.append(LabelVolume(case="small", label=1, name="liver", ml=1.0, z=-7.25))
    section = volume_section(volumes, ["small"])
    assert section is not None
    ((case, cell),) = section.table.rows
    assert (case.shown, cell.marked, cell.note) == ("small", True, "outlier, z \N{MINUS SIGN}7.2")
    assert section.note.endswith("are marked: 1 of 6.")


def test_table_of_a_long_curve_has_its_first_and_last_step() -> None:
    table = curve_table(Curve("loss", "epoch", tuple((step, float(step)) for step in range(1, 1001))))
    steps = [row[0].value for row in table.rows]
    assert (steps[0], steps[-1]) == (1, 1000)
    assert len(steps) == MOST_STEPS + 1
