"""Metrics of label maps against their references, their summary and tables."""

from typing import TYPE_CHECKING

from hybridseg.app.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .error_distance import error_distances
    from .files import score_files
    from .handler import ScoreCases
    from .metrics import LabelScore, score_case
    from .summary import summarise_scores
    from .tables import summary_table, write_reports

__all__ = [
    "LabelScore",
    "ScoreCases",
    "error_distances",
    "score_case",
    "score_files",
    "summarise_scores",
    "summary_table",
    "write_reports",
]

__getattr__ = lazy_names(
    __name__,
    {
        "error_distance": ["error_distances"],
        "files": ["score_files"],
        "handler": ["ScoreCases"],
        "metrics": ["LabelScore", "score_case"],
        "summary": ["summarise_scores"],
        "tables": ["summary_table", "write_reports"],
    },
)
