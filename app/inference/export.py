"""Write a network as ONNX, TorchScript or a torch.export program, and compare the file with the network."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hybridseg.transforms.extras import install_command
from hybridseg.transforms.io.atomic import replacing

from .exported import SHAPES, Loaded, Run, load_onnx, load_program, load_torchscript

TOLERANCE = 1e-4
"""Largest difference of a logit, relative to 1 + the largest logit: what float32 rounding may cause."""
BATCHES = (1, 3)
"""Batch sizes that a file is tested with; it is made with another."""
ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")

CPU = torch.device("cpu")


def export_network(network: nn.Module, path: Path, kind: str, shape: tuple[int, ...]) -> float:
    """Write a network for windows of one size and any batch size; a file that fails the check is not kept.

    Args:
        network: takes (B, C, D, H, W) and returns one tensor in evaluation mode; on the CPU.
        path: the file to write.
        kind: one of `FORMATS`.
        shape: shape of a window (C, D, H, W).

    Returns:
        The largest difference of a logit over random windows, relative to 1 + the largest logit.

    Raises:
        ValueError: a package is missing, the file cannot be written, or it gives other logits than the network.
    """
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None] if kind == "onnx" else []
    if missing:
        raise ValueError(f"format: onnx: needs {', '.join(missing)}: {install_command('export')}")
    write, load = FORMATS[kind]
    network.eval()
    try:
        with replacing(path, suffix=path.suffix) as temporary:
            write(network, torch.randn(2, *shape), temporary)
            run, *_ = load(temporary, CPU)
            largest = max(difference(network, run, torch.randn(batch, *shape)) for batch in BATCHES)
            if not largest <= TOLERANCE:
                raise ValueError(
                    f"{path}: logits differ by {largest:.1e} of the largest: must be at most {TOLERANCE:.0e}"
                )
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}: must be a file that can be written") from error
    return largest


@torch.inference_mode()
def difference(network: nn.Module, run: Run, windows: Tensor) -> float:
    """Return the largest difference of a logit, relative to 1 + the largest logit."""
    logits = network(windows)
    return float((logits - run(windows)).abs().max() / (1 + logits.abs().max()))


def write_torchscript(network: nn.Module, windows: Tensor, path: Path) -> None:
    """Trace a network and write it as TorchScript."""
    program: Any = torch.jit.trace(network, windows, check_trace=False)
    shapes = {"windows": [None, *windows.shape[1:]], "logits": [None, *program(windows).shape[1:]]}
    torch.jit.save(program, path, _extra_files={SHAPES: json.dumps(shapes)})


def capture(network: nn.Module, windows: Tensor) -> torch.export.ExportedProgram:
    """Capture the graph of a network for any batch size."""
    batch = torch.export.Dim("batch", min=1, max=1024)
    return torch.export.export(network, (windows,), dynamic_shapes=({0: batch},))


def write_program(network: nn.Module, windows: Tensor, path: Path) -> None:
    """Write a network as a torch.export program."""
    torch.export.save(capture(network, windows), path)


def write_onnx(network: nn.Module, windows: Tensor, path: Path) -> None:
    """Write a network as one ONNX file."""
    graph = capture(network, windows)
    program = torch.onnx.export(graph, dynamo=True, verbose=False, input_names=["image"], output_names=["pred"])
    assert program is not None
    program.save(path, external_data=False)


FORMATS: Mapping[str, tuple[Callable[[nn.Module, Tensor, Path], None], Callable[[Path, torch.device], Loaded]]] = {
    "onnx": (write_onnx, load_onnx),
    "torchscript": (write_torchscript, load_torchscript),
    "exported-program": (write_program, load_program),
}
