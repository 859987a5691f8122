"""Exported files segment as the weights that they were made of, and a file that does not fit the bundle is an error."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hybridseg.app.inference.export import export_network
from hybridseg.app.inference.exported import ENGINES
from hybridseg.app.inference.predictor import Predictor
from hybridseg.transforms.errors import VolumeError

from ..conftest import hybridseg, voxels_of, write_volume

FORMATS = {".onnx": "onnx", ".ts": "torchscript", ".pt2": "exported-program"}

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # tracing fixes the size, on purpose
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*:FutureWarning"),  # within torch.export
    pytest.mark.filterwarnings("ignore:No complete tensor found:UserWarning"),  # weights in channels-last order
]


class Convolution(nn.Module):
    """A network that is exported in no time, for any windows."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Conv3d(channels, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.layer(x)


@pytest.fixture(scope="module")
def exported(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Exports the network of the bundle to a file with this suffix, once."""
    folder = tmp_path_factory.mktemp("exports")

    @cache
    def export(suffix: str) -> Path:
        assert hybridseg("export", bundle, "-o", folder / f"net{suffix}").code == 0
        return folder / f"net{suffix}"

    return export


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A volume of several windows, on a grid other than the network's."""
    voxels = np.random.default_rng(0).normal(100, 20, (20, 18, 22)).astype(np.float32)
    return write_volume(tmp_path_factory.mktemp("images") / "case.nii.gz", voxels, np.diag([-1.2, 1, 1.1, 1]))


@pytest.mark.parametrize("suffix", [".ts", *(pytest.param(name, marks=pytest.mark.slow) for name in (".onnx", ".pt2"))])
def test_exported_file_segments_as_the_weights(
    bundle: Path, exported: Callable[[str], Path], image: Path, suffix: str
) -> None:
    weights = Predictor(bundle, "cpu", precision="fp32")
    file = Predictor(bundle, "cpu", exported(suffix))
    assert file.precision == weights.precision
    case = weights.prepare({"image": str(image)})
    wanted, found = (predictor.infer(case)["pred"] for predictor in (weights, file))
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=2e-3)  # float16
    assert torch.equal(file.predict(str(image)), weights.predict(str(image)))


def test_command_averages_exported_files_with_weights_and_records_them(
    bundle: Path, exported: Callable[[str], Path], image: Path, tmp_path: Path
) -> None:
    files = [exported(".ts"), bundle / "models" / "model.pt"]
    words: list[str | Path] = ["predict", image, "--bundle", bundle]
    result = hybridseg(*words, "-o", tmp_path / "both", "--checkpoint", *files)
    assert (result.code, result.err) == (0, "")
    assert hybridseg(*words, "-o", tmp_path / "own", "--precision", "fp32").code == 0
    np.testing.assert_array_equal(
        voxels_of(tmp_path / "both" / "case.nii.gz"), voxels_of(tmp_path / "own" / "case.nii.gz")
    )
    again = hybridseg(*words, "-o", tmp_path / "both")
    assert again.code == 2
    assert "net.ts" in again.err


@pytest.mark.parametrize(
    ("suffix", "channels", "outputs", "size", "message"),
    [
        (".onnx", 2, 3, 16, "takes windows of 2 channels, 16 x 16 x 16 voxels: must take the bundle's, 1 channels, 16"),
        (".ts", 1, 3, 8, "takes windows of 1 channels, 8 x 8 x 8 voxels: must take the bundle's, 1 channels, 16 x 16"),
        (".pt2", 1, 4, 16, "predicts 4 channels, 16 x 16 x 16 voxels: must predict what the bundle does, 3 channels"),
    ],
)
def test_file_that_does_not_fit_the_bundle_is_an_error(
    bundle: Path, tmp_path: Path, suffix: str, channels: int, outputs: int, size: int, message: str
) -> None:
    path = tmp_path / f"net{suffix}"
    export_network(Convolution(channels, outputs), path, FORMATS[suffix], (channels, size, size, size))
    with pytest.raises(VolumeError, match=f"net{suffix}: {message}"):
        Predictor(bundle, "cpu", path)


@pytest.mark.parametrize("suffix", ENGINES)
@pytest.mark.parametrize("content", [b"no network", None], ids=["other", "missing"])
def test_unreadable_file_is_one_line(
    bundle: Path, image: Path, tmp_path: Path, suffix: str, content: bytes | None
) -> None:
    path = tmp_path / f"net{suffix}"
    if content is not None:
        path.write_bytes(content)
    result = hybridseg("predict", image, "-o", tmp_path / "out", "--bundle", bundle, "--checkpoint", path)
    assert result.code == 2
    assert f"{path}: {'does not exist' if content is None else 'unreadable'}: must be a" in result.err
    assert result.err.count("\n") == 1


def test_torchscript_of_unknown_windows_is_an_error(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.ts"
    torch.jit.save(torch.jit.trace(Convolution(1, 3), torch.zeros(1, 1, 16, 16, 16)), path)
    with pytest.raises(VolumeError, match=r"net\.ts: does not say for what windows it was traced"):
        Predictor(bundle, "cpu", path)


def test_program_for_one_batch_size_is_an_error(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Convolution(1, 3), (torch.zeros(2, 1, 16, 16, 16),)), path)
    with pytest.raises(VolumeError, match=r"net\.pt2: takes batches of 2 only: must take batches of any size"):
        Predictor(bundle, "cpu", path)


def test_exported_file_computes_in_float32_only(bundle: Path, exported: Callable[[str], Path]) -> None:
    with pytest.raises(ValueError, match=r"precision: 'bf16': must be auto or fp32 for .*net\.ts"):
        Predictor(bundle, "cpu", exported(".ts"), precision="bf16")


def test_export_of_an_exported_file_is_an_error(bundle: Path, exported: Callable[[str], Path], tmp_path: Path) -> None:
    result = hybridseg("export", bundle, "-o", tmp_path / "n.ts", "--checkpoint", exported(".ts"))
    assert result.code == 2
    assert "net.ts: must be weights, not an exported network" in result.err
