"""Run files that `hybridseg export` wrote in place of a network, each by its engine, in float32.

An ONNX file is data. A TorchScript file and a torch.export program are code, as configs are: run only files that you
trust.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from monai.data import MetaTensor
from torch import Tensor, nn
from torch.export.passes import move_to_device_pass

from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.extras import install_command

Run = Callable[[Tensor], Tensor]
Shape = Sequence[int | None]
"""A shape (B, C, D, H, W); None for an axis of any length."""
Loaded = tuple[Run, Shape, Shape]
"""What runs windows, the shape of the windows that it takes, and that of its logits."""
SHAPES = "shapes.json"
"""The member of a TorchScript file that says for what windows it was traced; with others it computes nonsense."""


class ExportedNetwork(nn.Module):
    """A file of `hybridseg export` as a network.

    Args:
        path: the file, which ends in one of `ENGINES`.
        device: where it runs.

    Raises:
        VolumeError: the file cannot be read, or its engine is not installed or cannot use the device.

    Attributes:
        windows: shape (B, C, D, H, W) of the windows that it takes.
        logits: shape (B, K, D, H, W) of what it returns.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__()
        if not path.is_file():
            raise VolumeError(path, "does not exist", "must be a file that hybridseg export wrote")
        try:
            self.run, self.windows, self.logits = ENGINES[path.suffix](path, device)
        except VolumeError:
            raise
        except Exception as error:  # the engines name no common kind
            raise VolumeError(path, "unreadable", f"must be a {path.suffix} file of hybridseg export") from error
        self.path = path

    def check(self, channels: int, size: Sequence[int] | None, outputs: int) -> None:
        """Check that the file fits a bundle.

        Args:
            channels: channels of the bundle's images.
            size: voxels of its windows along (D, H, W); None for any.
            outputs: its classes or regions.

        Raises:
            VolumeError: it takes other windows, batches of one size only, or predicts other classes.
        """
        batch, *found = self.windows
        wanted = [channels, *(size or found[1:])]
        if found != wanted:
            raise VolumeError(self.path, f"takes windows of {shown(found)}", f"must take the bundle's, {shown(wanted)}")
        if batch is not None:
            raise VolumeError(self.path, f"takes batches of {batch} only", "must take batches of any size")
        if self.logits[1:] != (after := [outputs, *wanted[1:]]):
            what = f"predicts {shown(self.logits[1:])}"
            raise VolumeError(self.path, what, f"must predict what the bundle does, {shown(after)}")

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (B, K, D, H, W) of windows (B, C, D, H, W)."""
        with torch.autocast(x.device.type, enabled=False):
            return self.run(x.as_tensor() if isinstance(x, MetaTensor) else x)


def is_exported(path: PathLike) -> bool:
    """Return whether the name of a file is that of an export, not of weights."""
    return Path(path).suffix in ENGINES


def load_torchscript(path: Path, device: torch.device) -> Loaded:
    """Load a TorchScript file."""
    extra = {SHAPES: ""}
    program = torch.jit.load(path, map_location=device, _extra_files=extra)
    if not extra[SHAPES]:
        raise VolumeError(path, "does not say for what windows it was traced", "must be written by hybridseg export")
    shapes = json.loads(extra[SHAPES])
    return program, shapes["windows"], shapes["logits"]


def load_program(path: Path, device: torch.device) -> Loaded:
    """Load a torch.export program."""
    program = torch.export.load(path)
    if device.type != "cpu":
        program = move_to_device_pass(program, device)
    signature = program.graph_signature
    values = {node.name: node.meta["val"] for node in program.graph.nodes if "val" in node.meta}
    (windows,), (logits,) = (
        [values[name] for name in names] for names in (signature.user_inputs, signature.user_outputs)
    )
    return program.module(), fixed(windows.shape), fixed(logits.shape)


def load_onnx(path: Path, device: torch.device) -> Loaded:
    """Load an ONNX file."""
    if find_spec("onnxruntime") is None:
        raise VolumeError(path, "onnxruntime is not installed", install_command("export"))
    import onnxruntime

    provider = "CPUExecutionProvider" if device.type == "cpu" else "CUDAExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        raise VolumeError(path, "onnxruntime has no CUDA", "use --device cpu, or install onnxruntime-gpu instead")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    placed = provider if device.type == "cpu" else (provider, {"device_id": device.index or 0})
    session = onnxruntime.InferenceSession(path, options, providers=[placed])
    (windows,), (logits,) = session.get_inputs(), session.get_outputs()

    def run(batch: Tensor) -> Tensor:
        values = session.run([logits.name], {windows.name: batch.cpu().numpy()})[0]
        return torch.from_numpy(values).to(batch.device)

    return run, fixed(windows.shape), fixed(logits.shape)


def fixed(shape: Sequence[object]) -> Shape:
    """Return a shape with None for the axes of any length."""
    return [length if isinstance(length, int) else None for length in shape]


def shown(shape: Shape) -> str:
    """Return a shape (C, D, H, W) as text."""
    channels, *size = shape
    return f"{channels} channels, {' x '.join('any' if length is None else str(length) for length in size)} voxels"


ENGINES: Mapping[str, Callable[[Path, torch.device], Loaded]] = {
    ".onnx": load_onnx,
    ".ts": load_torchscript,
    ".pt2": load_program,
}
"""What loads a file, by the end of its name."""
