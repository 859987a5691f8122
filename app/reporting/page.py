"""The page of a report: one self-contained HTML file that needs no network, laid out by the templates."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from hybridseg.app.runtime.console import printable

from .charts import Chart, curve_chart
from .contents import Contents
from .gallery import Gallery, picture_section
from .tables import (
    Table,
    TableSection,
    agreement_section,
    curve_table,
    failure_section,
    outside_section,
    score_section,
    volume_section,
)

FOLDER = Path(__file__).parent
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'"
"""Content security policy: the browser may load embedded pictures and styles, and run the script with this hash."""


@dataclass(frozen=True)
class CurveFigure:
    """A curve of a training, as a chart and in numbers."""

    name: str
    chart: Chart
    table: Table


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Args:
        name: its anchor.
        heading: its heading.
        template: file of the template that lays out its content.
        content: the content; an empty section is left out.
    """

    name: str
    heading: str
    template: str
    content: TableSection | Gallery | Sequence[CurveFigure] | None


def render_page(contents: Contents) -> str:
    """Return the page as HTML; all text is escaped."""
    style, script = (FOLDER.joinpath(file).read_text(encoding="utf-8") for file in ("report.css", "report.js"))
    return (
        environment()
        .get_template("page.html")
        .render(
            title=contents.title,
            facts=contents.facts,
            notes=contents.notes,
            sections=[section for section in page_sections(contents) if section.content],
            policy=POLICY.format(digest(script)),
            style=Markup(style),
            script=Markup(script),
        )
    )


def page_sections(contents: Contents) -> list[Section]:
    """Return the sections from top to bottom, including empty ones."""
    scores, order = contents.scores, contents.order
    curves = [CurveFigure(curve.name, curve_chart(curve), curve_table(curve)) for curve in contents.curves]
    return [
        Section("failures", "Failures", "table_section.html", failure_section(contents.failures)),
        Section("outside", "Unlike the training data", "table_section.html", outside_section(contents.outside)),
        Section("agreement", "Agreement", "table_section.html", agreement_section(scores, contents.tolerance)),
        Section("volumes", "Volumes", "table_section.html", volume_section(contents.volumes, order)),
        Section("pictures", "Pictures", "pictures.html", picture_section(contents.pictures, contents.label_names)),
        Section("scores", "Scores", "table_section.html", score_section(scores, order)),
        Section("training", "Training", "curves.html", curves),
    ]


def environment() -> Environment:
    """Return the templates, which escape whatever they show."""
    templates = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["breakable"] = breakable
    return templates


def shown(value: object) -> str:
    """Return a value as printable text; markup stays as it is."""
    return value if isinstance(value, Markup) else printable(str(value))


def breakable(name: str) -> Markup:
    """Return a name as markup that lets narrow screens break it after an underscore."""
    return Markup("_<wbr>").join(escape(part) for part in printable(name).split("_"))


def digest(script: str) -> str:
    """Return the hash of a script as a content security policy writes it."""
    return b64encode(sha256(script.encode()).digest()).decode()
