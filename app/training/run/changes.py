"""What changed since the earlier start of a training: its cases, configs and settings; other labels are an error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hybridseg.transforms.errors import VolumeError
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


def part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of a record; nothing where it has none, as those of earlier versions."""
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def read_labels(configs: Sequence[Path], settings: Mapping[str, str]) -> dict[str, Any]:
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
    found = {key: merged[key] for key in ("label_names", "regions") if merged.get(key) is not None}
    return json.loads(json.dumps(found, default=str))  # numbers of labels are texts, as in a record


def check_labels(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Check that a training learns the labels that it learnt before; a label may get a new name.

    Args:
        path: the record of the training.
        before: labels and regions of the earlier start; empty where they were not recorded.
        now: those of this start; see `read_labels`.

    Raises:
        VolumeError: they are others.
    """
    names, earlier = part(now, "label_names"), part(before, "label_names")
    same = names.keys() == earlier.keys() and (names == earlier or set(names.values()) != set(earlier.values()))
    if not same or [*part(now, "regions").values()] != [*part(before, "regions").values()]:
        rule = "must resume with the labels that it was trained with; or use another folder"
        raise VolumeError(path, f"trained with labels {shown(before)}, not {shown(now)}", rule)


def shown(labels: Mapping[str, Any]) -> str:
    """Return labels and regions in one line."""
    return json.dumps(part(labels, "regions") or part(labels, "label_names"), ensure_ascii=False)
