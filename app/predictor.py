"""A bundle ready to segment volumes: used alike by the command, by Python and by notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from torch import Tensor, nn

from hybridseg.bundles import bundle_path
from hybridseg.transforms.datasets import read_json
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.sliding_window import Progress, WindowInferer


class Predictor:
    """Segments volumes exactly as the bundle's `configs/inference.json` says, with the items of that file.

    They are `label_names`, `preprocessing` (from {"image": path} to a tensor on the network's grid), `network`,
    `checkpoint` (path of its weights), `inferer` and `postprocessing` (from {"image", "pred"} to labels on the file's
    grid). A configuration is code: use bundles that you trust.

    Args:
        bundle: name of a shipped bundle, or the folder of any.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU where there is one.
        checkpoint: other weights than the bundle's, such as the `model.pt` of a training.

    Raises:
        ValueError: the bundle, the device or the weights cannot be used.

    Attributes:
        label_names: name of each label.
        device: where the network is.
        network: the network, in evaluation mode.
    """

    def __init__(
        self,
        bundle: str | Path,
        device: str = "auto",
        checkpoint: str | PathLike[str] | None = None,
    ) -> None:
        root = bundle_path(bundle)
        self.device = choose_device(device)
        config_file = root / "configs" / "inference.json"
        config = ConfigParser(read_json(config_file))
        config["bundle_root"] = str(root)
        config["device"] = f"$torch.device('{self.device}')"
        config["output_dir"] = None  # the caller gets the labels, nothing is written
        if checkpoint is not None:
            config["checkpoint"] = str(checkpoint)

        def item(name: str) -> Any:
            if name not in config:
                raise VolumeError(config_file, f"no item {name!r}", "an inference configuration needs it")
            return config.get_parsed_content(name)

        self.label_names = {int(label): str(name) for label, name in item("label_names").items()}
        self.preprocessing = item("preprocessing")
        self.inferer = item("inferer")
        self.postprocessing = item("postprocessing")
        self.network: nn.Module = item("network").eval()
        load_weights(self.network, Path(item("checkpoint")), self.device)

    @torch.inference_mode()
    def predict(self, path: str | PathLike[str], progress: Progress | None = None) -> MetaTensor:
        """Segment one volume.

        Args:
            path: file of the volume.
            progress: told of every batch of windows, where the bundle's inferer is a `WindowInferer`.

        Returns:
            Labels (1, X, Y, Z) on the file's own grid; `affine` (4, 4) takes voxel indices to RAS mm.

        Raises:
            ValueError: the file cannot be segmented, perhaps inside of the RuntimeError that MONAI makes of it.
        """
        case = self.preprocessing({"image": str(path)})
        image = case["image"][None].to(self.device)  # (1, C, D, H, W)
        if isinstance(self.inferer, WindowInferer):
            self.inferer.progress = progress
        case["pred"] = self.inferer(image, self.network)[0]
        return self.postprocessing(case)["pred"]


def choose_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        ValueError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or not (index.isdecimal() or name in ("cpu", "cuda")):
        raise ValueError(f"device: {name!r}: must be auto, cpu, cuda or cuda:N")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device: {name!r}: must be there; {torch.cuda.device_count()} CUDA devices are")
    return torch.device(name)


def load_weights(network: nn.Module, path: Path, device: torch.device) -> None:
    """Load a file of weights into a network, never running code that may be hidden in it.

    Raises:
        ValueError: the file is missing, is no state dict of tensors, or is that of another network.
    """
    if not path.is_file():
        raise VolumeError(path, "does not exist", "must be the file of the network's weights")
    try:
        weights = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # UnpicklingError, RuntimeError, EOFError and more: torch names no common kind
        raise VolumeError(path, "unreadable", "must be a state dict saved by torch.save, of tensors only") from error
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, Tensor) for tensor in weights.values()):
        raise VolumeError(path, "not a state dict", "must hold the network's weights and nothing else")
    wanted = network.state_dict()
    wrong = sorted(wanted.keys() ^ weights.keys()) or [
        name for name, tensor in wanted.items() if tensor.shape != weights[name].shape
    ]
    if wrong:
        what = f"{len(wrong)} tensors are missing, unknown or of another shape, such as {wrong[0]}"
        raise VolumeError(path, what, "must be weights of the bundle's network")
    network.load_state_dict(weights)
