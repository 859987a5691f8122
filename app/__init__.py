"""The application: its commands, and what they do, for Python and notebooks."""

from typing import TYPE_CHECKING

from hybridseg.app.runtime.lazy import lazy_names

if TYPE_CHECKING:
    from .commands.evaluate import Evaluate
    from .commands.export import Export
    from .commands.info import Info
    from .commands.pack import Pack
    from .commands.plan import Plan
    from .commands.predict import Predict
    from .commands.report import Report
    from .commands.train import Train
    from .figures.viewer import SliceViewer
    from .inference.predictor import Predictor

__all__ = [
    "Evaluate",
    "Export",
    "Info",
    "Pack",
    "Plan",
    "Predict",
    "Predictor",
    "Report",
    "SliceViewer",
    "Train",
]

__getattr__ = lazy_names(
    __name__,
    {
        "commands.evaluate": ["Evaluate"],
        "commands.export": ["Export"],
        "commands.info": ["Info"],
        "commands.pack": ["Pack"],
        "commands.plan": ["Plan"],
        "commands.predict": ["Predict"],
        "commands.report": ["Report"],
        "commands.train": ["Train"],
        "figures.viewer": ["SliceViewer"],
        "inference.predictor": ["Predictor"],
    },
)
