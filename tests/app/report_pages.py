"""Scores for reports, and a parser of their pages."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

from hybridseg.app.evaluation.metrics import LabelScore

VOID = {"meta", "img"}


class Page(HTMLParser):
    """A parsed page; a tag that is not closed, or closed by another, is an error."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[tuple[str, str]] = []
        self.feed(self.source.replace("<wbr>", ""))  # line breaks allowed in names
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))
        self.open += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all tags of a name."""
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag: str) -> list[str]:
        """Return the texts within tags of a name."""
        return [words for name, words in self.words if name == tag]

    def rows(self, section: str) -> list[list[str]]:
        """Return the sort values of the cells in a section's tables."""
        (part,) = re.findall(rf'<section id="{section}".*?</section>', self.source, re.DOTALL)
        rows = re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL)
        values = [[html.unescape(value) for value in re.findall(r'data-value="(.*?)"', row)] for row in rows]
        return [row for row in values if row]  # headings have none


def make_score(case: str, label: int, name: str, dice: float) -> LabelScore:
    """Return a score of a label that was found."""
    return LabelScore(
        case=case,
        label=label,
        name=name,
        outcome="found",
        reference_voxels=1,
        prediction_voxels=1,
        reference_ml=1.0,
        prediction_ml=1.0,
        volume_difference_ml=0.0,
        dice=dice,
        surface_dice=dice,
        hd95=1.0,
        assd=1.0,
    )
