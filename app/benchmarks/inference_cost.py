"""Ways from a CT's file to its label map, timed by stage, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.inferers import SlidingWindowInferer
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    Invertd,
    LoadImaged,
    Orientationd,
    SaveImaged,
    ScaleIntensityRanged,
    Spacingd,
)
from monai.utils import set_determinism

from hybridseg.app.inference.predictor import Predictor
from hybridseg.app.runtime.child_process import ChildError, answer_json, run_json
from hybridseg.app.runtime.machine import peak_memory_bytes
from hybridseg.networks import create_model
from hybridseg.transforms.datasets.dataset import read_json
from hybridseg.transforms.inferers import WindowInferer
from hybridseg.transforms.io.load import LoadVolumed
from hybridseg.transforms.io.save import write_labels
from hybridseg.transforms.pipelines import ct_preprocessing
from hybridseg.transforms.spatial.restore import RestoreLabelsd

NOISE_HU = 12.0
GAUSSIAN = "recipe, Gaussian"
WAYS: Mapping[str, Mapping[str, bool]] = {
    "recipe": {},
    GAUSSIAN: {},
    "defaults": {},
    "fp32": {"amp": False},
    "fp32 blending": {"half": False},
    "every window": {"skip_uniform": False},
    "probabilities": {},
    "as the recipe": {"amp": False, "half": False, "skip_uniform": False},
}
"""Options of our `WindowInferer` for each way; the recipe has none."""
BY_PROBABILITIES = ("probabilities", "as the recipe")
"""Ways of ours that interpolate them instead of logits."""


@dataclass(frozen=True, kw_only=True)
class InferenceTask:
    """What is to be measured.

    Args:
        volume: the CT.
        bundle: folder of the bundle.
        spacing: of the network's grid in mm; None takes the bundle's.
        classes: of a network with random weights; None takes the bundle's network and weights.
        threads: of the CPU.
        folder: for what is written.
    """

    volume: str
    bundle: str
    spacing: float | None
    classes: int | None
    threads: int
    folder: str


def resize(volume: Path, grid: Sequence[int], path: Path) -> None:
    """Write a CT with as many voxels as asked for over the same body, linearly interpolated, with noise."""
    image = sitk.ReadImage(volume)
    spacing = [
        length * (before - 1) / max(1, after - 1)
        for length, before, after in zip(image.GetSpacing(), image.GetSize(), grid, strict=True)
    ]
    origin, direction = image.GetOrigin(), image.GetDirection()
    finer = sitk.Resample(
        image, list(grid), sitk.Transform(), sitk.sitkLinear, origin, spacing, direction, -1024, sitk.sitkFloat32
    )
    voxels = sitk.GetArrayFromImage(finer)
    voxels += np.random.default_rng(0).normal(0, NOISE_HU, voxels.shape).astype(np.float32)
    noisy = sitk.GetImageFromArray(voxels.clip(-1024, 3000).round().astype(np.int16))
    noisy.CopyInformation(finer)
    sitk.WriteImage(noisy, path, useCompression=True)


def measure(task: InferenceTask, way: str) -> dict[str, Any]:
    """Go one way in a process of its own.

    Returns:
        `way`, `seconds` by stage, seconds of `all` and `but_network`, bytes of `peak_memory`; or an `error` in a line.
    """
    request = {"task": asdict(task), "way": way}
    environment = {"OMP_NUM_THREADS": str(task.threads), "PYTHONWARNINGS": "ignore"}
    try:
        row = run_json(__name__, request, task=way, environment=environment)
    except ChildError as error:
        return {"way": way, "error": error.reason}
    total = sum(row["seconds"].values())
    return {"way": way, **row, "all": total, "but_network": total - row["seconds"]["network"]}


def compare(task: InferenceTask, rows: Sequence[dict[str, Any]]) -> None:
    """Add `dice`, the mean over the labels, between each mask and that of the recipe with Gaussian blending."""
    reference = output(task, GAUSSIAN)
    if task.classes is not None or not reference.is_file():
        return
    wanted = sitk.GetArrayFromImage(sitk.ReadImage(reference)).astype(np.uint8)
    for row in rows:
        if "error" not in row and row["way"] != GAUSSIAN:
            found = sitk.GetArrayFromImage(sitk.ReadImage(output(task, row["way"]))).astype(np.uint8)
            row["dice"] = fmean(dice(found == label, wanted == label) for label in np.unique(wanted) if label)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Of two masks, of which one at least has voxels."""
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def output(task: InferenceTask, way: str) -> Path:
    """Where a way's label map goes."""
    return Path(task.folder) / f"{way.replace(', ', '-').replace(' ', '-')}.nii.gz"


class Stages:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def time(self, name: str, function: Callable[[], Any]) -> Any:
        """Do something and add its time to a stage."""
        start = perf_counter()
        result = function()
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start
        return result


@torch.inference_mode()
def go(task: InferenceTask, way: str) -> dict[str, Any]:
    """Go one way in this process."""
    torch.set_num_threads(task.threads)
    config = read_json(Path(task.bundle) / "configs" / "inference.json")
    spacing = config["spacing"] if task.spacing is None else [task.spacing] * 3
    predictor = Predictor(task.bundle, "cpu")
    network, classes = predictor.network, 1 + len(predictor.label_names)
    if task.classes is not None:
        set_determinism(0)
        classes = task.classes
        network = create_model(config["network_def"]["preset"], in_channels=1, out_channels=classes).eval()
    stages = Stages()
    windows = {"roi_size": config["patch_size"], "overlap": 0.5, "sw_batch_size": 4}
    path = output(task, way)
    if way.startswith("recipe"):
        inferer = SlidingWindowInferer(**windows, mode="gaussian" if way == GAUSSIAN else "constant", cval=-1.0)
        by_recipe(stages, task.volume, path, network, spacing, config["window"], inferer)
    else:
        ours = WindowInferer(**windows, padding=-1.0, **WAYS[way])  # type: ignore[arg-type]
        probabilities = way in BY_PROBABILITIES
        by_pipeline(stages, task.volume, path, network, spacing, config["window"], ours, probabilities=probabilities)
    return {"seconds": stages.seconds, "peak_memory": peak_memory_bytes(torch.device("cpu")), "classes": classes}


def by_recipe(
    stages: Stages,
    volume: str,
    path: Path,
    network: torch.nn.Module,
    spacing: Sequence[float],
    window: Sequence[float],
    inferer: SlidingWindowInferer,
) -> None:
    """What bundles of the model zoo do."""
    low, high = window
    load = LoadImaged("image", image_only=True, ensure_channel_first=True)
    prepare = Compose(
        [
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", pixdim=spacing, mode="bilinear"),
            ScaleIntensityRanged("image", a_min=low, a_max=high, b_min=-1, b_max=1, clip=True),
        ]
    )
    restore = Compose(
        [
            Activationsd("pred", softmax=True),
            Invertd("pred", transform=prepare, orig_keys="image", nearest_interp=False, to_tensor=True),
            AsDiscreted("pred", argmax=True),
        ]
    )
    save = SaveImaged("pred", output_dir=path.parent, output_postfix="", separate_folder=False, print_log=False)
    case = stages.time("read", lambda: load({"image": volume}))
    case = stages.time("prepare", lambda: prepare(case))
    case["pred"] = stages.time("network", lambda: inferer(case["image"][None], network)[0])
    case = stages.time("restore", lambda: restore(case))
    case["pred"].meta["filename_or_obj"] = str(path)
    stages.time("write", lambda: save(case))


def by_pipeline(
    stages: Stages,
    volume: str,
    path: Path,
    network: torch.nn.Module,
    spacing: Sequence[float],
    window: Sequence[float],
    inferer: WindowInferer,
    *,
    probabilities: bool,
) -> None:
    """What `hybridseg predict` does."""
    load, *others = ct_preprocessing(spacing=spacing, window=window).transforms
    assert isinstance(load, LoadVolumed)
    prepare, restore = Compose(others), RestoreLabelsd(probabilities=probabilities)
    case = stages.time("read", lambda: load({"image": volume}))
    case = stages.time("prepare", lambda: prepare(case))
    case["pred"] = stages.time("network", lambda: inferer(case["image"][None], network)[0])
    labels = stages.time("restore", lambda: restore(case))["pred"]
    stages.time("write", lambda: write_labels(labels.numpy(), path, volume, labels.affine.numpy()))


if __name__ == "__main__":
    answer_json(lambda task, way: go(InferenceTask(**task), way))
