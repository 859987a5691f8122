"""The record of a training, `run.json`, from which it can be repeated: an entry of `runs` for each start."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from hybridseg.app.labels.trained import LABELS, RUN, check_labels, part
from hybridseg.app.runtime.machine import describe_machine, versions
from hybridseg.app.runtime.record import digest, now
from hybridseg.app.training.best_model import BestModel
from hybridseg.app.training.prepared import PreparedDataset
from hybridseg.bundles import running_configs, running_options
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.json_files import read_json, write_json
from hybridseg.transforms.precision import choose_precision

from .changes import Digests, cases_digest, changes, read_labels
from .run_folder import latest_epoch

CASES = "case_sha256"
"""Key of the digest of each case of the latest start, by subset."""

logger = logging.getLogger("hybridseg.training")


class TrainingRecord:
    """Record what a training is made of: written when it starts, completed after each epoch and at its end.

    Resumed trainings add an entry, and warn of cases, configs and settings that changed since the start before. An
    entry of a training that was killed has no `finished`.

    Args:
        run_dir: folder of the run.
        bundle_root: folder of the bundle.
        precision: auto, fp32, bf16 or fp16.
        seed: of the training.
        best: the handler that saves the best weights.
        datasets: the prepared cases of each subset.

    Raises:
        VolumeError: `run.json` exists, and is not the record of a training, or of one with other labels.
    """

    def __init__(
        self,
        run_dir: str | Path,
        bundle_root: str | Path,
        *,
        precision: str,
        seed: int,
        best: BestModel,
        datasets: Mapping[str, PreparedDataset],
    ) -> None:
        self.path = Path(run_dir) / RUN
        self.bundle = Path(bundle_root)
        self.precision = precision
        self.seed = seed
        self.best = best
        self.datasets = datasets
        self.earlier = read_starts(self.path)
        self.entry: dict[str, Any] = {}
        self.cases: Digests = {}
        self.resumes = bool(self.earlier) and latest_epoch(run_dir) > 0
        self.labels = read_labels(config_files(self.bundle, running_configs()), read_overrides())
        if self.resumes and (labels := part(self.earlier[-1], LABELS)):
            check_labels(self.path, labels, self.labels)

    def attach(self, trainer: Engine) -> None:
        """Register with the trainer, after the handler that saves checkpoints."""
        if idist.get_rank() == 0:
            trainer.add_event_handler(Events.STARTED, self.begin)
            trainer.add_event_handler(Events.EPOCH_COMPLETED, self.update)
            trainer.add_event_handler(Events.COMPLETED, self.finish)

    def begin(self, trainer: Engine) -> None:
        """Write what the training is made of."""
        state: Any = trainer.state
        before = read_case_digests(self.path)
        self.cases = {subset: dataset.case_digests() for subset, dataset in self.datasets.items()}
        self.entry = {
            "started": now(),
            "finished": None,
            "command": sys.orig_argv,
            "folder": os.getcwd(),
            "overrides": read_overrides(),
            **describe_bundle(self.bundle, running_configs()),
            "versions": versions(),
            **describe_machine(state.device),
            "processes": idist.get_world_size(),
            "precision": choose_precision(self.precision, state.device).record(),
            "seed": self.seed,
            LABELS: self.labels,
            "data": {
                subset: {"cases": len(digests), "sha256": cases_digest(digests)}
                for subset, digests in self.cases.items()
            },
            "resumed_from_epoch": state.epoch,
            "max_epochs": state.max_epochs,
        }
        if self.resumes and (found := changes(self.earlier[-1], self.entry, before, self.cases)):
            logger.warning(f"{self.path.parent}: changed since the training was started: {'; '.join(found)}")
        self.update(trainer)

    def update(self, trainer: Engine) -> None:
        """Write how far the training is."""
        best = self.best
        self.entry |= {
            "epochs": trainer.state.epoch,
            "best_epoch": best.epoch or None,
            "best_score": best.score if math.isfinite(best.score) else None,
        }
        write_json(self.path, {"runs": [*self.earlier, self.entry], CASES: self.cases})

    def finish(self, trainer: Engine) -> None:
        """Write that the training has ended."""
        self.entry["finished"] = now()
        self.update(trainer)


def read_starts(path: Path) -> list[Mapping[str, Any]]:
    """Read what earlier starts of a run recorded.

    Raises:
        VolumeError: the file is not the record of a training.
    """
    record = read_json(path) if path.is_file() else {"runs": []}
    starts = record.get("runs") if isinstance(record, Mapping) else None
    if not isinstance(starts, list) or not all(isinstance(start, Mapping) for start in starts):
        raise VolumeError(path, "not the record of a training", "must be written by a training; or use another folder")
    return starts


def read_case_digests(path: Path) -> Digests:
    """Read the digests of the cases of an earlier start; none where it recorded none."""
    record = read_json(path) if path.is_file() else {}
    return {subset: part(part(record, CASES), subset) for subset in part(record, CASES)}


def config_files(bundle: Path, configs: list[Path]) -> list[Path]:
    """Return the configs that run: those that MONAI's command line names, or else `train.json` of the bundle."""
    return configs or [bundle / "configs" / "train.json"]


def describe_bundle(bundle: Path, configs: list[Path]) -> dict[str, Any]:
    """Return the version of a bundle, and the checksums of the configs that run.

    Args:
        bundle: folder of the bundle.
        configs: the files that MONAI's command line names; empty takes `train.json`.
    """
    metadata = bundle / "configs" / "metadata.json"
    files = config_files(bundle, configs)
    return {
        "bundle": str(bundle.resolve()),
        "bundle_version": read_json(metadata).get("version") if metadata.is_file() else None,
        "configs_sha256": {file.name: digest(read_json(file)) for file in files if file.is_file()},
    }


def read_overrides() -> dict[str, str]:
    """Return what MONAI's command line sets, by key; empty if another program runs the training."""
    if not running_configs():
        return {}
    return {option: value for option, value in running_options().items() if option != "config_file"}
