"""Time and memory of ways to segment a CT, from its file to its label map; each runs in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SlidingWindowInferer
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
from hybridseg.app.labels.label_maps import mask_dice
from hybridseg.app.runtime.child_process import ChildError, answer_json, run_json
from hybridseg.app.runtime.machine import peak_memory_bytes
from hybridseg.app.runtime.threads import thread_environment
from hybridseg.networks import create_model
from hybridseg.transforms.inferers import WindowInferer
from hybridseg.transforms.io.json_files import read_json
from hybridseg.transforms.io.load import LoadVolumed
from hybridseg.transforms.io.save import write_labels
from hybridseg.transforms.pipelines import ct_preprocessing
from hybridseg.transforms.spatial.restore import RestoreLabelsd

Case = dict[Hashable, Any]
Stage = Callable[[Case], Any]
"""Takes and returns a case: `image`, then `pred` too."""

NOISE_HU = 12.0
GAUSSIAN = "recipe, Gaussian"
WAYS: Mapping[str, Mapping[str, Any]] = {
    "recipe": {},
    GAUSSIAN: {},
    "defaults": {},
    "fp32": {"precision": "fp32"},
    "fp32 blending": {"half": False},
    "every window": {"skip_uniform": False},
    "probabilities": {},
    "as the recipe": {"precision": "fp32", "half": False, "skip_uniform": False},
}
"""Options of our `WindowInferer` for each way; the recipe has none."""
WITH_PROBABILITIES = ("probabilities", "as the recipe")
"""Ways of ours that resample probabilities instead of logits."""


@dataclass(frozen=True, kw_only=True)
class InferenceTask:
    """A CT to segment, and how.

    Args:
        volume: file of the CT.
        bundle: folder of the bundle.
        spacing: of the network's grid, in mm; None uses the bundle's.
        classes: number of classes of a network with random weights; None uses the bundle's network and weights.
        threads: CPU threads.
        folder: folder for the label maps.
    """

    volume: str
    bundle: str
    spacing: float | None
    classes: int | None
    threads: int
    folder: str


def resize(volume: Path, grid: Sequence[int], path: Path) -> None:
    """Write a CT resampled linearly to a grid of this size (X, Y, Z) and the same extent, with noise added."""
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


def measure_inference(task: InferenceTask, way: str) -> dict[str, Any]:
    """Measure one way in a process of its own.

    Returns:
        `way`, `seconds` of each stage, of `all` and of all `but_network`, bytes of `peak_memory`, and `classes`; or, if
        it failed, `way` and `error`.
    """
    request = {"task": asdict(task), "way": way}
    environment = {**thread_environment(task.threads), "PYTHONWARNINGS": "ignore"}
    try:
        row = run_json(__name__, request, task=way, environment=environment)
    except ChildError as error:
        return {"way": way, "error": error.reason}
    total = sum(row["seconds"].values())
    return {"way": way, **row, "all": total, "but_network": total - row["seconds"]["network"]}


def add_dice(task: InferenceTask, rows: Sequence[dict[str, Any]]) -> None:
    """Add to each row `dice`, the mean Dice over the labels with the recipe with Gaussian blending."""
    reference = label_map_path(task, GAUSSIAN)
    if task.classes is not None or not reference.is_file():
        return
    wanted = sitk.GetArrayFromImage(sitk.ReadImage(reference)).astype(np.uint8)
    for row in rows:
        if "error" not in row and row["way"] != GAUSSIAN:
            found = sitk.GetArrayFromImage(sitk.ReadImage(label_map_path(task, row["way"]))).astype(np.uint8)
            row["dice"] = fmean(
                mask_dice(found == label, wanted == label) or 0.0 for label in np.unique(wanted) if label
            )


def label_map_path(task: InferenceTask, way: str) -> Path:
    """Return the file of a way's label map."""
    return Path(task.folder) / f"{way.replace(', ', '-').replace(' ', '-')}.nii.gz"


@torch.inference_mode()
def run_way(task: InferenceTask, way: str) -> dict[str, Any]:
    """Segment the CT one way in this process, and return seconds, memory and number of classes."""
    torch.set_num_threads(task.threads)
    config = read_json(Path(task.bundle) / "configs" / "inference.json")
    spacing = config["spacing"] if task.spacing is None else [task.spacing] * 3
    predictor = Predictor(task.bundle, "cpu")
    network, classes = predictor.network, 1 + len(predictor.label_names)
    if task.classes is not None:
        set_determinism(0)
        classes = task.classes
        network = create_model(config["network_def"]["preset"], in_channels=1, out_channels=classes).eval()
    inferer = make_inferer(way, config["patch_size"])

    def infer(case: Case) -> Case:
        return {**case, "pred": inferer(case["image"][None], network)[0]}

    ours = partial(our_stages, probabilities=way in WITH_PROBABILITIES)
    make_stages = recipe_stages if way.startswith("recipe") else ours
    seconds: dict[str, float] = {}
    case: Case = {"image": task.volume}
    for name, stage in make_stages(label_map_path(task, way), spacing, config["window"], infer).items():
        start = perf_counter()
        case = stage(case)
        seconds[name] = perf_counter() - start
    return {"seconds": seconds, "peak_memory": peak_memory_bytes(torch.device("cpu")), "classes": classes}


def make_inferer(way: str, patch_size: Sequence[int]) -> Inferer:
    """Make the inferer of a way."""
    windows: dict[str, Any] = {"roi_size": patch_size, "overlap": 0.5, "sw_batch_size": 4}
    if way.startswith("recipe"):
        return SlidingWindowInferer(**windows, mode="gaussian" if way == GAUSSIAN else "constant", cval=-1.0)
    return WindowInferer(**windows, padding=-1.0, **WAYS[way])


def recipe_stages(path: Path, spacing: Sequence[float], window: Sequence[float], infer: Stage) -> Mapping[str, Stage]:
    """Make the stages of the bundles of MONAI's model zoo."""
    low, high = window
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

    def write(case: Case) -> Case:
        case["pred"].meta["filename_or_obj"] = str(path)
        return save(case)

    read = LoadImaged("image", image_only=True, ensure_channel_first=True)
    return {"read": read, "prepare": prepare, "network": infer, "restore": restore, "write": write}


def our_stages(
    path: Path, spacing: Sequence[float], window: Sequence[float], infer: Stage, *, probabilities: bool
) -> Mapping[str, Stage]:
    """Make the stages of `hybridseg predict`, which may resample probabilities instead of logits."""
    read, *others = ct_preprocessing(spacing=spacing, window=window).transforms
    assert isinstance(read, LoadVolumed)
    restore = RestoreLabelsd(probabilities=probabilities)

    def write(case: Case) -> Case:
        labels: MetaTensor = case["pred"]
        write_labels(labels.numpy(), path, case["image"].meta["filename_or_obj"], labels.affine.numpy())
        return case

    return {"read": read, "prepare": Compose(others), "network": infer, "restore": restore, "write": write}


if __name__ == "__main__":
    answer_json(lambda task, way: run_way(InferenceTask(**task), way))
