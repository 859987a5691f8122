"""What all commands share: console, machine, checks of options, child and parallel processes, failed cases."""

from typing import TYPE_CHECKING

from hybridseg.transforms.lazy import lazy_names

if TYPE_CHECKING:
    from .child_process import ChildError, answer_json, run_child, run_json
    from .console import align, one_line, quiet, say
    from .distributed import gather, own_device, rank, world_size
    from .failed_cases import CaseFailures, catch_failure
    from .machine import (
        choose_device,
        describe_machine,
        device_name,
        peak_memory,
        peak_memory_bytes,
        synchronize,
        versions,
    )
    from .options import check_at_least, check_positive, parse_size

__all__ = [
    "CaseFailures",
    "ChildError",
    "align",
    "answer_json",
    "catch_failure",
    "check_at_least",
    "check_positive",
    "choose_device",
    "describe_machine",
    "device_name",
    "gather",
    "one_line",
    "own_device",
    "parse_size",
    "peak_memory",
    "peak_memory_bytes",
    "quiet",
    "rank",
    "run_child",
    "run_json",
    "say",
    "synchronize",
    "versions",
    "world_size",
]

__getattr__ = lazy_names(
    __name__,
    {
        "child_process": ["ChildError", "answer_json", "run_child", "run_json"],
        "console": ["align", "one_line", "quiet", "say"],
        "distributed": ["gather", "own_device", "rank", "world_size"],
        "failed_cases": ["CaseFailures", "catch_failure"],
        "machine": [
            "choose_device",
            "describe_machine",
            "device_name",
            "peak_memory",
            "peak_memory_bytes",
            "synchronize",
            "versions",
        ],
        "options": ["check_at_least", "check_positive", "parse_size"],
    },
)
