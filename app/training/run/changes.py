"""What changed since the earlier start of a training: its cases, configs and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridseg.app.labels.trained import Labels, as_recorded, part
from hybridseg.transforms.io.json_files import read_json
from hybridseg.transforms.store.identity import digest

FREE = {"dataset_dir", "run_dir", "resume", "device", "max_epochs", "num_workers", "store", "store_quota"}
FREE |= {"curves", "mlflow", "wandb", "pretrained"}
"""Settings that may differ between two starts of a training: they say where, how fast and how long it trains."""
NAMED = 3
"""Cases that a message names; more are counted."""

Digests = Mapping[str, Mapping[str, str]]
"""Digest of each case by subset."""


def cases_digest(digests: Mapping[str, str]) -> str:
    """Return one digest for the names and digests of cases, in their order."""
    return digest(*(f"{name} {content}" for name, content in digests.items()))


def changed_cases(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return what changed between two sets of cases, a few words for each kind of change.

    Args:
        before: digest of each case.
        now: the same, later.

    Example:
        >>> changed_cases({"a": "1", "b": "2"}, {"b": "3", "c": "4"})
        ['removed a', 'changed b', 'added c']
    """
    kinds = {
        "removed": sorted(before.keys() - now.keys()),
        "changed": sorted(name for name in before.keys() & now.keys() if before[name] != now[name]),
        "added": sorted(now.keys() - before.keys()),
    }
    return [f"{kind} {listed(names)}" for kind, names in kinds.items() if names]


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def changes(before: Mapping[str, Any], now: Mapping[str, Any], cases_before: Digests, cases: Digests) -> list[str]:
    """Return what changed between two starts of a training, a few words for each.

    Args:
        before: what the earlier start recorded.
        now: what this one records.
        cases_before: the cases of the earlier start; empty where they were not recorded.
        cases: the cases now.
    """
    found = []
    for subset, digests in cases.items():
        if subset in cases_before:
            if kinds := changed_cases(cases_before[subset], digests):
                found.append(f"{subset} cases: {', '.join(kinds)}")
        elif part(before, "data").get(subset, now["data"][subset]) != now["data"][subset]:
            found.append(f"{subset} cases")
    configs, earlier = now["configs_sha256"], part(before, "configs_sha256")
    found += [f"config {name}" for name in sorted(configs) if earlier.get(name, configs[name]) != configs[name]]
    settings, earlier = now["overrides"], part(before, "overrides")
    if other := sorted(key for key in (settings.keys() | earlier) - FREE if settings.get(key) != earlier.get(key)):
        found.append(f"settings {', '.join(other)}")
    return found


def read_labels(configs: Sequence[Path], settings: Mapping[str, str]) -> Labels:
    """Return the labels and regions that a training learns, as its configs and settings name them.

    Args:
        configs: files of the configs; a later one replaces keys of those before it.
        settings: what MONAI's command line sets, by key.
    """
    from fire.parser import DefaultParseValue

    merged: dict[str, Any] = {}
    for path in configs:
        merged |= read_json(path) if path.suffix == ".json" and path.is_file() else {}
    merged |= {key: DefaultParseValue(value) for key, value in settings.items()}
    return as_recorded(merged)
