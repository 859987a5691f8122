"""Measure what a planned training costs, by a short one: on two real cases, in a process of its own.

Both cases are prepared, some steps are made with patches of one, and the other is validated: every part of a training
on this device, with the bundle's own data loading, augmentation, network, loss and metric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from monai.bundle import ConfigParser

from hybridseg.app.runtime.child_process import ChildError, answer_json, run_json
from hybridseg.app.runtime.machine import peak_memory, synchronize
from hybridseg.app.training.step import Step
from hybridseg.transforms.errors import PathLike
from hybridseg.transforms.io.json_files import write_json

from .case_fingerprint import CaseFingerprint

STEPS = 6
"""Steps that are measured; the first is slower, since it allocates memory."""
ENOUGH_SECONDS = 8.0
"""Seconds of steps after which measuring stops."""


@dataclass(frozen=True)
class TrainingCost:
    """Cost of a training on a device.

    Attributes:
        bytes: peak memory of a step beyond the network's weights.
        step_seconds: time of a step, without its data.
        data_seconds: time to read and augment the patches of a step.
        validation_seconds: time to validate one case.
        preparation_seconds: time to prepare one case.
        preparation_bytes: peak memory to prepare one case.
        start_seconds: time from the start of the process to the first case.
    """

    bytes: int
    step_seconds: float
    data_seconds: float
    validation_seconds: float
    preparation_seconds: float
    preparation_bytes: int
    start_seconds: float


def measure_training(config: Mapping[str, Any], dataset: PathLike, cases: Sequence[str]) -> TrainingCost | None:
    """Run a short training of a `train.json`, and measure it.

    Args:
        config: content of `train.json`.
        dataset: folder of the dataset.
        cases: names of two cases: one to train on, one to validate.

    Returns:
        The cost; None if memory ran out.

    Raises:
        ChildError: the training failed for another reason.
    """
    request = {"config": {**config, "dataset_dir": str(Path(dataset).resolve())}, "cases": list(cases)}
    start = perf_counter()
    try:
        answer = run_json(__name__, request, task="a short training of the planned network")
    except ChildError as error:
        if error.out_of_memory:
            return None
        raise
    waited = perf_counter() - start
    measured = answer.pop("measured_seconds")
    return TrainingCost(**answer, start_seconds=waited - measured)


def typical_cases(sound: Sequence[CaseFingerprint]) -> list[str]:
    """Return the names of two labelled cases of a size that is not far from the mean."""
    voxels = {case.case: math.prod(case.shape or ()) for case in sound if case.labelled_voxels}
    voxels = voxels if len(voxels) > 1 else {case.case: math.prod(case.shape or ()) for case in sound}
    mean = sum(voxels.values()) / len(voxels)
    return sorted(voxels, key=lambda name: abs(voxels[name] - mean))[:2]


def train_on_cases(config: Mapping[str, Any], cases: Sequence[str]) -> dict[str, Any]:
    """Make a short training in this process; see `measure_training`.

    Returns:
        The fields of a `TrainingCost` except `start_seconds`; `measured_seconds`, the time of all that was measured.
    """
    with TemporaryDirectory() as folder:
        split = Path(folder) / "split.json"
        write_json(split, {"training": [cases[0]], "validation": [cases[1]], "test": []})
        samples = STEPS * config["batch_size"]
        own = {"run_dir": str(Path(folder) / "run"), "split_file": str(split), "num_workers": 0}
        parser = ConfigParser({**config, **own, "fold": 0, "samples_per_epoch": samples, "curves": False})
        parser["validate::handlers"] = []
        step = Step(parser)
        begin = perf_counter()
        parser.get_parsed_content("train::dataset")  # the first case, for which modules are imported
        prepare = perf_counter()
        with peak_memory(torch.device("cpu")) as preparation_peak:
            parser.get_parsed_content("validate::dataset")
        prepared = perf_counter()
        batches = iter(parser.get_parsed_content("train::dataloader"))
        loading: list[float] = []
        stepping: list[float] = []
        with peak_memory(step.device) as peak:
            while len(stepping) < STEPS and sum(stepping) < ENOUGH_SECONDS:
                start = perf_counter()
                batch = next(batches)
                loaded = perf_counter()
                step(batch)
                synchronize(step.device)
                loading.append(loaded - start)
                stepping.append(perf_counter() - loaded)
        evaluator = parser.get_parsed_content("validate::evaluator")
        validate = perf_counter()
        evaluator.run()
        end = perf_counter()
    return {
        "bytes": peak[0],
        "step_seconds": median(stepping[1:] or stepping),
        "data_seconds": median(loading[1:] or loading),
        "validation_seconds": end - validate,
        "preparation_seconds": prepared - prepare,
        "preparation_bytes": preparation_peak[0],
        "measured_seconds": end - begin,
    }


if __name__ == "__main__":
    answer_json(train_on_cases)
