"""A bundle ready to segment volumes, for the command line, Python and notebooks."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose
from torch import nn

from hybridseg.app.bundling.config import inference_config, input_channels, literal, shown_window
from hybridseg.app.bundling.packed import find_bundle
from hybridseg.app.bundling.training_data import measured_scan, percentiles
from hybridseg.app.labels.trained import NAMES, REGIONS, as_recorded, check_trained_labels
from hybridseg.app.runtime.console import cause, one_line
from hybridseg.app.runtime.machine import choose_device
from hybridseg.networks.ensemble import Ensemble
from hybridseg.networks.weights import load_weights
from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.grid import voxel_lengths
from hybridseg.transforms.inferers import Progress, WindowInferer
from hybridseg.transforms.io.load import LoadVolumed, elsewhere
from hybridseg.transforms.precision import check_precision, choose_precision
from hybridseg.transforms.regions import Regions, region_labels

from .exported import ExportedNetwork, is_exported

Data = dict[Hashable, Any]
"""A case on its way through the pipelines: `image`, `scan` (what was measured of it), later also `pred`."""


def measure_image(case: Mapping[Hashable, Any]) -> Data:
    """Add `scan`: what is compared of an image, as loaded, with what the network was trained on.

    Args:
        case: `image` (C, D, H, W), and the channels that have grids of their own; see `LoadVolumed`.
    """
    image: MetaTensor = case["image"]
    volumes = [image, *(case[key] for key in takewhile(case.__contains__, map(partial(elsewhere, "image"), count(1))))]
    voxels = [channel for volume in volumes for channel in volume.as_tensor().numpy()]
    spacing = voxel_lengths(image.affine.numpy()).tolist()
    return {**case, "scan": measured_scan(image.shape[1:], spacing, [percentiles(channel) for channel in voxels])}


class Predictor:
    """Segments volumes as configured in the bundle's `configs/inference.json`.

    The configuration must have `label_names`, `preprocessing` (from {"image": path} to a tensor on the network's grid),
    `network`, `checkpoint` (path of its weights), `inferer` and `postprocessing` (from {"image", "pred"} to labels on
    the file's grid); also `mirror_axes` for `mirror`, and `regions` if the network predicts overlapping regions. A
    configuration is code: use only bundles that you trust.

    Args:
        bundle: name of a shipped bundle, or the folder or packed zip of any bundle.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` uses a GPU if there is one.
        checkpoint: weights to use instead of the bundle's, such as the `model.pt` of a training; the logits of several,
            such as those of five folds, are averaged. Files of `hybridseg export` (.onnx, .ts, .pt2) run in float32.
        overlap: overlap of neighbouring windows, as a share of a window; None uses the bundle's.
        batch: windows computed at once; None uses the bundle's.
        precision: auto, fp32, bf16 or fp16; None uses the bundle's.
        mirror: average over windows mirrored along the axes that the bundle allows.
        grid_of: the channel, from 0, on whose grid labels are returned, if channels have grids of their own.

    Raises:
        ValueError: the bundle, the device, the weights or an option is invalid.

    Attributes:
        bundle: name of the bundle's folder.
        label_names: name of each label, by number.
        regions: labels of each region that the network predicts; None if it predicts classes.
        window: intensity window to display CT, in HU; None for other bundles.
        grid_of: the channel on whose grid labels are returned.
        device: device of the network.
        network: the network, in evaluation mode.
        checkpoints: files of its weights.
    """

    def __init__(
        self,
        bundle: str | Path,
        device: str = "auto",
        checkpoint: PathLike | Sequence[PathLike] | None = None,
        *,
        overlap: float | None = None,
        batch: int | None = None,
        precision: str | None = None,
        mirror: bool = False,
        grid_of: int = 0,
    ) -> None:
        root = find_bundle(bundle)
        self.device = choose_device(device)
        config_file = root / "configs" / "inference.json"
        config = ConfigParser(dict(inference_config(root)))
        config["bundle_root"] = literal(root)
        config["device"] = f"$torch.device('{self.device}')"
        config["output_dir"] = None  # labels are returned, not written
        windows = {"overlap": overlap, "sw_batch_size": batch, "precision": precision}
        if precision is not None:
            check_precision(precision, self.device)
        if mirror:
            windows["mirror_axes"] = config.get("mirror_axes")
            if not windows["mirror_axes"]:
                rule = "mirroring needs an axis along which all labels stay correct"
                raise VolumeError(config_file, "no mirror_axes", rule)
        changed = {name: value for name, value in windows.items() if value is not None}
        for name, value in changed.items():
            config["inferer"][name] = value
        if grid_of:
            config["preprocessing"]["grid_of"] = grid_of

        def item(name: str) -> Any:
            try:
                return config.get_parsed_content(name)
            except Exception as error:
                of_option = name == "inferer" and bool(changed)
                if of_option or isinstance(cause(error), VolumeError | MemoryError | RuntimeError):
                    raise
                raise VolumeError(config_file, name, one_line(error)) from error

        self.bundle = root.name
        self.window = shown_window(root)
        self.grid_of = grid_of
        self.label_names = {int(label): str(name) for label, name in item("label_names").items()}
        self.regions: Regions | None = item("regions") if "regions" in config else None
        if self.regions is not None and not set(region_labels(self.regions)) <= set(self.label_names):
            written = f"regions that write {sorted(region_labels(self.regions))}"
            raise VolumeError(config_file, written, f"must be among the label_names, {sorted(self.label_names)}")
        self.preprocessing = item("preprocessing")
        if isinstance(self.preprocessing, Compose):
            load, *others = self.preprocessing.transforms
            if isinstance(load, LoadVolumed):
                self.preprocessing.transforms = (load, measure_image, *others)
        self.inferer = item("inferer")
        self.postprocessing = item("postprocessing")
        given = [checkpoint] if isinstance(checkpoint, str | os.PathLike) else list(checkpoint or [item("checkpoint")])
        self.checkpoints = [Path(path) for path in given]
        if not checkpoint and not self.checkpoints[0].is_file():
            rule = "this bundle has no weights yet: train them as described in its docs/README.md, and use --checkpoint"
            raise VolumeError(self.checkpoints[0], "does not exist", rule)
        labels = as_recorded({NAMES: self.label_names, REGIONS: self.regions})
        for path in self.checkpoints:
            check_trained_labels(path, labels)
        if exported := [path for path in self.checkpoints if is_exported(path)]:
            if precision not in (None, "auto", "fp32"):
                raise ValueError(f"precision: {precision!r}: must be auto or fp32 for {exported[0]}")
            if isinstance(self.inferer, WindowInferer):
                self.inferer.precision = "fp32"
        networks: list[nn.Module] = []
        for path in self.checkpoints:
            if path in exported:
                network = ExportedNetwork(path, self.device)
                size = getattr(self.inferer, "roi_size", None)
                outputs = len(self.regions or self.label_names) + (self.regions is None)
                network.check(input_channels(root), size, outputs)
            else:
                network = item("network").eval()
                network = network if len(self.checkpoints) == 1 else deepcopy(network)
                load_weights(network, path, self.device)
            networks.append(network)
        self.network = networks[0] if len(networks) == 1 else Ensemble(networks)

    def predict(self, image: Any, progress: Progress | None = None) -> MetaTensor:
        """Segment one volume.

        Args:
            image: path of a volume, or a list of one for each channel; see `LoadVolumed`.
            progress: called after every batch of windows, if the bundle's inferer is a `WindowInferer`.

        Returns:
            Labels (1, X, Y, Z) on the file's own grid, with its `affine` (4, 4) from voxel indices to RAS mm.

        Raises:
            ValueError: the file cannot be segmented; MONAI may wrap the error in a RuntimeError.
        """
        return self.restore(self.infer(self.prepare({"image": image}), progress))["pred"]

    @property
    def precision(self) -> dict[str, str] | None:
        """What precision was chosen, what is used and why; None if the bundle's inferer is not a `WindowInferer`."""
        is_ours = isinstance(self.inferer, WindowInferer)
        return choose_precision(self.inferer.precision, self.device).record() if is_ours else None

    @torch.inference_mode()
    def prepare(self, case: Mapping[Any, Any]) -> Data:
        """Read `image`, a path, and preprocess it to (C, D, H, W) on the network's grid; measure it as `scan`."""
        return self.preprocessing(case)

    @torch.inference_mode()
    def infer(self, case: Data, progress: Progress | None = None) -> Data:
        """Add `pred`: logits (K, D, H, W) on the network's grid."""
        options = {"progress": progress} if isinstance(self.inferer, WindowInferer) else {}
        return {**case, "pred": self.inferer(case["image"][None].to(self.device), self.network, **options)[0]}

    @torch.inference_mode()
    def restore(self, case: Data) -> Data:
        """Convert the logits in `pred` to labels (1, X, Y, Z) on the file's own grid."""
        return self.postprocessing(case)
