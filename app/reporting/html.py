"""Pieces of HTML: text that is safe whatever it holds, tables, sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


def text(value: object) -> str:
    """Text as HTML: no tag, no end of an attribute, and nothing that changes its direction or breaks its line."""
    shown = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(value))
    return escape(shown)


def name(value: str) -> str:
    """A name as HTML; on a narrow screen it is broken after an underscore, not anywhere."""
    return text(value).replace("_", "_<wbr>")


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        shown: what it shows, as HTML.
        value: what it is sorted by; None is sorted last, in either direction.
        marked: whether it calls for attention.
        long: whether its text may be long.
    """

    shown: str
    value: float | str | None
    marked: bool = False
    long: bool = False

    def html(self, tag: str = "td") -> str:
        """The cell; as a heading of its row with the tag `th`."""
        kinds = ["number"] if not isinstance(self.value, str) else []
        kinds += [kind for kind, applies in (("marked", self.marked), ("long", self.long)) if applies]
        scope = ' scope="row"' if tag == "th" else ""
        kind = f' class="{" ".join(kinds)}"' if kinds else ""
        value = "" if self.value is None else self.value
        return f'<{tag}{scope}{kind} data-value="{text(value)}">{self.shown}</{tag}>'


def word(value: str, *, marked: bool = False, long: bool = False) -> Cell:
    """A cell of text."""
    return Cell(name(value), value, marked, long)


def number(value: float | None, digits: int = 0, *, note: str = "", marked: bool = False) -> Cell:
    """A cell of a number with so many decimals, a dash where there is none, and a note below."""
    shown = "\N{EN DASH}" if value is None else decimals(value, digits)
    return Cell(shown + (f" <small>{text(note)}</small>" if note else ""), value, marked)


def decimals(value: float, digits: int) -> str:
    """A number with so many decimals."""
    return f"{value:z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, sortable: bool = False) -> str:
    """A table whose first column names its rows; wider than the screen it scrolls by itself.

    Args:
        caption: what it shows.
        headings: of its columns.
        rows: their cells, as many in each as there are headings.
        sortable: let the script of the page sort it.
    """
    numbers = [any(not isinstance(row[column].value, str) for row in rows) for column in range(len(headings))]
    kinds = [' class="number"' if is_number else "" for is_number in numbers]
    heads = "".join(
        f'<th scope="col"{kind}>{text(heading)}</th>' for heading, kind in zip(headings, kinds, strict=True)
    )
    body = "\n".join(f"<tr>{row[0].html('th')}{''.join(cell.html() for cell in row[1:])}</tr>" for row in rows)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{text(caption)}">\n'
        f"<table{' data-sortable' if sortable else ''}><caption>{text(caption)}</caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def section(name: str, heading: str, *parts: str) -> str:
    """A section of the page under a heading, with a name to link to."""
    return f'<section id="{name}" aria-labelledby="{name}-heading">\n<h2 id="{name}-heading">{text(heading)}</h2>\n' + (
        "\n".join(part for part in parts if part) + "\n</section>"
    )


def paragraph(words: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{f' class={kind}' if kind else ''}>{text(words)}</p>" if words else ""
