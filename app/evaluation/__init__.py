"""Compare label maps with reference label maps: metrics, their summary over cases, tables and files."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .error_distance import error_distances
    from .files import score_files
    from .handler import ScoreCases
    from .metrics import LabelScore, Outcome, score_case
    from .summary import Spread, Summary, summarise_scores
    from .tables import summary_record, summary_table, write_reports

__all__ = [
    "LabelScore",
    "Outcome",
    "ScoreCases",
    "Spread",
    "Summary",
    "error_distances",
    "score_case",
    "score_files",
    "summarise_scores",
    "summary_record",
    "summary_table",
    "write_reports",
]

__getattr__ = lazy_names(
    __name__,
    {
        "error_distance": ["error_distances"],
        "files": ["score_files"],
        "handler": ["ScoreCases"],
        "metrics": ["LabelScore", "Outcome", "score_case"],
        "summary": ["Spread", "Summary", "summarise_scores"],
        "tables": ["summary_record", "summary_table", "write_reports"],
    },
)
