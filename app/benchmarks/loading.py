"""Time to load training samples in several ways, each in a process of its own, on one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import process_time
from typing import Any

import SimpleITK as sitk
import torch
from monai.bundle import ConfigParser
from monai.data import Dataset

from hybridseg.app.runtime.child_process import ChildError, answer_json, run_json
from hybridseg.app.runtime.machine import peak_memory_bytes
from hybridseg.app.runtime.threads import thread_environment
from hybridseg.app.training.prepared import PreparedDataset
from hybridseg.app.training.reproducibility import SeededDataset
from hybridseg.transforms.datasets.dataset import LabelledCase
from hybridseg.transforms.io.json_files import read_json

from .inference_cost import resize

UNCACHED, MEMORY, STORE = "uncached", "memory", "store"
WAYS = (UNCACHED, MEMORY, STORE)
WARM_UP = 1
"""Samples that are loaded before the clock starts, where they are prepared already."""


@dataclass(frozen=True, kw_only=True)
class LoadingTask:
    """Samples to load.

    Args:
        cases: labelled cases.
        bundle: folder of the bundle whose preprocessing and augmentation are measured.
        overrides: keys of its train.json that are changed.
        samples: how many samples to load.
        store: folder of the store.
    """

    cases: Sequence[LabelledCase]
    bundle: str
    overrides: Mapping[str, Any]
    samples: int
    store: str


def enlarge(case: LabelledCase, grid: Sequence[int], folder: Path) -> LabelledCase:
    """Write a labelled CT resampled to a grid of this size (X, Y, Z), with noise; return the new case."""
    assert isinstance(case["image"], str)
    assert isinstance(case["label"], str)
    image, label = folder / "image.nii.gz", folder / "label.nii.gz"
    resize(Path(case["image"]), grid, image)
    geometry = sitk.ReadImage(image)
    nearest = sitk.Resample(sitk.ReadImage(case["label"]), geometry, sitk.Transform(), sitk.sitkNearestNeighbor)
    sitk.WriteImage(nearest, label, useCompression=True)
    return {"case": case["case"], "image": str(image), "label": str(label)}


def measure_loading(task: LoadingTask, way: str) -> dict[str, Any]:
    """Measure one way in a process of its own.

    Returns:
        `way`, the CPU `seconds` of a sample and of `preparing` all cases before, and bytes of `peak_memory` and on
        `disk`; or, if it failed, `way` and `error`.
    """
    request = {"task": asdict(task), "way": way}
    try:
        environment = {**thread_environment(1), "PYTHONWARNINGS": "ignore"}
        return {"way": way, **run_json(__name__, request, task=way, environment=environment)}
    except ChildError as error:
        return {"way": way, "error": error.reason}


def run_way(task: Mapping[str, Any], way: str) -> dict[str, Any]:
    """Load samples one way in this process, and return its costs."""
    torch.set_num_threads(1)
    parser = ConfigParser(read_json(Path(task["bundle"]) / "configs" / "train.json"))
    parser.update({**task["overrides"], "bundle_root": task["bundle"]})
    transform = parser.get_parsed_content("train::preprocessing")
    start = process_time()
    dataset: Dataset = Dataset(task["cases"], transform)
    if way != UNCACHED:
        dataset = PreparedDataset(task["cases"], transform, task["store"] if way == STORE else None)
    preparing = process_time() - start
    samples = SeededDataset(dataset, seed=0)
    warm_up = 0 if way == UNCACHED else WARM_UP
    for number in range(warm_up + task["samples"]):
        if number == warm_up:
            start = process_time()
        samples[number, number % len(dataset)]
    return {
        "seconds": (process_time() - start) / task["samples"],
        "preparing": preparing,
        "peak_memory": peak_memory_bytes(torch.device("cpu")),
        "disk": sum(file.stat().st_size for file in Path(task["store"]).rglob("*") if file.is_file()),
    }


if __name__ == "__main__":
    answer_json(run_way)
