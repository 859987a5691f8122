"""The page of a report: one HTML file that needs no other, and no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from hybridseg.app.evaluation.metrics import LabelScore

from .cohort import DrawnCase
from .curves import Curve
from .figures import picture_parts, training_parts
from .html import name, paragraph, section, text
from .outliers import LabelVolume
from .tables import agreement_parts, failure_parts, score_parts, volume_parts


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a report tells; each part is left out where it is empty.

    Args:
        title: of the page.
        facts: what was run with what, by name.
        order: the cases, worst first.
        scores: of cases and labels.
        tolerance: of the surface Dice, in mm.
        volumes: of cases and labels.
        pictures: of cases, worst first.
        label_names: of the labels drawn.
        failures: case and line of what failed.
        notes: what is missing, in sentences.
        curves: of the training.
    """

    title: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    order: Sequence[str] = ()
    scores: Sequence[LabelScore] = ()
    tolerance: float = 1.0
    volumes: Sequence[LabelVolume] = ()
    pictures: Sequence[DrawnCase] = ()
    label_names: Mapping[int, str] = field(default_factory=dict)
    failures: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    curves: Sequence[Curve] = ()


def page(contents: Contents) -> str:
    """The page as text."""
    sections = {
        "failures": ("Failures", failure_parts(contents.failures)),
        "agreement": ("Agreement", agreement_parts(contents.scores, contents.tolerance)),
        "volumes": ("Volumes", volume_parts(contents.volumes, contents.order)),
        "pictures": ("Pictures", picture_parts(contents.pictures, contents.label_names)),
        "scores": ("Scores", score_parts(contents.scores, contents.order)),
        "training": ("Training", training_parts(contents.curves)),
    }
    shown = {part: (heading, parts) for part, (heading, parts) in sections.items() if parts}
    links = "".join(f'<li><a href="#{part}">{heading}</a></li>' for part, (heading, _) in shown.items())
    facts = "".join(f"<div><dt>{text(fact)}</dt><dd>{name(value)}</dd></div>" for fact, value in contents.facts.items())
    style, script = (Path(__file__).with_name(file).read_text(encoding="utf-8") for file in ("report.css", "report.js"))
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest(script)}'"
    body = "\n".join(section(part, heading, *parts) for part, (heading, parts) in shown.items())
    notes = "\n".join(paragraph(note, "quiet") for note in contents.notes)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(contents.title)}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{name(contents.title)}</h1>
<dl>{facts}</dl>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="content">
{notes}
{body}
</main>
<footer><p>Made by hybridseg report. Not for clinical use without validation.</p></footer>
<script>{script}</script>
</body>
</html>
"""


def digest(script: str) -> str:
    """The hash by which a browser knows the one script that it may run."""
    return b64encode(sha256(script.encode()).digest()).decode()
