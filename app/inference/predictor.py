"""A bundle ready to segment volumes: used alike by the command, by Python and by notebooks."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from torch import Tensor, nn

from hybridseg.app.bundling.config import read_config, shown_window
from hybridseg.app.runtime.machine import choose_device
from hybridseg.bundles import bundle_path
from hybridseg.networks.weights import load_weights
from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.inferers import Progress, WindowInferer
from hybridseg.transforms.regions import Regions, region_labels

Data = dict[Hashable, Any]
"""A case on its way through the pipelines: `image`, then `pred` too."""


class Ensemble(nn.Module):
    """The mean of the logits of several networks.

    Args:
        networks: of one kind, each with its own weights.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        total = self.networks[0](x)
        for network in self.networks[1:]:
            total = total + network(x)
        return total / len(self.networks)


class Predictor:
    """Segments volumes exactly as the bundle's `configs/inference.json` says, with the items of that file.

    They are `label_names`, `preprocessing` (from {"image": path} to a tensor on the network's grid), `network`,
    `checkpoint` (path of its weights), `inferer` and `postprocessing` (from {"image", "pred"} to labels on the file's
    grid); for `mirror`, `mirror_axes` too, and for a network of regions that overlap, `regions`. A
    configuration is code: use bundles that you trust.

    Args:
        bundle: name of a shipped bundle, or the folder of any.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU where there is one.
        checkpoint: other weights than the bundle's, such as the `model.pt` of a training; of several, such as those of
            five folds, the logits are averaged.
        overlap: share of a window that the next one covers too; None leaves it to the bundle.
        batch: windows that are computed at once; None leaves it to the bundle.
        mirror: average over windows mirrored along the axes for which the bundle allows it.

    Raises:
        ValueError: the bundle, the device or the weights cannot be used, or an option breaks its rule.

    Attributes:
        bundle: name of its folder.
        label_names: name of each label.
        regions: the labels of each region that the network gives; None where it gives classes.
        window: the intensities that a bundle for CT tells apart, in HU, to show an image by; None for others.
        label_codes: codes of the labels in DICOM, where the bundle has them; see `write_segmentation`.
        device: where the network is.
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
        mirror: bool = False,
    ) -> None:
        root = bundle_path(bundle)
        self.device = choose_device(device)
        config_file = root / "configs" / "inference.json"
        config = ConfigParser(read_config(config_file))
        config["bundle_root"] = str(root)
        config["device"] = f"$torch.device('{self.device}')"
        config["output_dir"] = None  # the caller gets the labels, nothing is written
        windows = {"overlap": overlap, "sw_batch_size": batch}
        if mirror:
            windows["mirror_axes"] = config.get("mirror_axes")
            if not windows["mirror_axes"]:
                raise VolumeError(config_file, "no mirror_axes", "mirroring needs an axis that leaves every label true")
        for name, value in windows.items():
            if value is not None:
                config["inferer"][name] = value

        def item(name: str) -> Any:
            if name not in config:
                raise VolumeError(config_file, f"no item {name!r}", "an inference configuration needs it")
            return config.get_parsed_content(name)

        self.bundle = root.name
        self.window = shown_window(root)
        self.label_codes = {int(label): codes for label, codes in (config.get("label_codes") or {}).items()}
        self.label_names = {int(label): str(name) for label, name in item("label_names").items()}
        self.regions: Regions | None = item("regions") if "regions" in config else None
        if self.regions is not None and set(region_labels(self.regions)) != set(self.label_names):
            told = f"regions that write {sorted(region_labels(self.regions))}"
            raise VolumeError(config_file, told, f"must be the label_names, {sorted(self.label_names)}")
        self.preprocessing = item("preprocessing")
        self.inferer = item("inferer")
        self.postprocessing = item("postprocessing")
        given = [checkpoint] if isinstance(checkpoint, str | os.PathLike) else list(checkpoint or [item("checkpoint")])
        self.checkpoints = [Path(path) for path in given]
        if not checkpoint and not self.checkpoints[0].is_file():
            rule = (
                "this bundle has no weights yet: train some as its docs/README.md says, and name them by --checkpoint"
            )
            raise VolumeError(self.checkpoints[0], "does not exist", rule)
        networks: list[nn.Module] = [item("network").eval()]
        networks += [deepcopy(networks[0]) for _ in self.checkpoints[1:]]
        for network, path in zip(networks, self.checkpoints, strict=True):
            load_weights(network, path, self.device)
        self.network = networks[0] if len(networks) == 1 else Ensemble(networks)

    def predict(self, image: Any, progress: Progress | None = None) -> MetaTensor:
        """Segment one volume.

        Args:
            image: path of a volume, or a list of one for each channel; see `LoadVolumed`.
            progress: told of every batch of windows, where the bundle's inferer is a `WindowInferer`.

        Returns:
            Labels (1, X, Y, Z) on the file's own grid; `affine` (4, 4) takes voxel indices to RAS mm.

        Raises:
            ValueError: the file cannot be segmented, perhaps inside of the RuntimeError that MONAI makes of it.
        """
        return self.restore(self.infer(self.prepare({"image": image}), progress))["pred"]

    @torch.inference_mode()
    def prepare(self, case: Mapping[Any, Any]) -> Data:
        """Read `image`, a path, and bring it onto the network's grid: (C, D, H, W)."""
        return self.preprocessing(case)

    @torch.inference_mode()
    def infer(self, case: Data, progress: Progress | None = None) -> Data:
        """Add `pred`: logits (K, D, H, W) on the network's grid."""
        if isinstance(self.inferer, WindowInferer):
            self.inferer.progress = progress
        return {**case, "pred": self.inferer(case["image"][None].to(self.device), self.network)[0]}

    @torch.inference_mode()
    def restore(self, case: Data) -> Data:
        """Replace `pred` by labels (1, X, Y, Z) on the file's own grid."""
        return self.postprocessing(case)
