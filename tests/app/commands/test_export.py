"""Files of every format give the logits of the network for any batch size; a file that does not is not kept."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.networks.nets import SegResNet
from torch import nn

from hybridseg.app.inference import export as exporting
from hybridseg.app.inference.export import export_network
from hybridseg.bundles import bundle_path
from hybridseg.networks import PRESETS, create_model

from ..conftest import hybridseg

SIZE = (24, 32, 24)
FORMATS = {"net.onnx": "onnx", "net.ts": "torchscript", "net.pt2": "exported-program"}

pytestmark = [
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # tracing fixes the size, on purpose
    pytest.mark.filterwarnings("ignore:.*treespec, LeafSpec.*:FutureWarning"),  # within torch.export
    pytest.mark.filterwarnings("ignore:No complete tensor found:UserWarning"),  # weights in channels-last order
]


def every_format() -> Iterator[Any]:
    """Yield each preset with each format; what takes long is slow, but for the smallest preset."""
    for preset, (name, kind) in product(PRESETS, FORMATS.items()):
        marks = [] if preset == "tiny" or kind == "torchscript" else [pytest.mark.slow]
        yield pytest.param(preset, name, kind, id=f"{kind}-{preset}", marks=marks)


@pytest.mark.parametrize(("preset", "name", "kind"), list(every_format()))
def test_every_preset_and_format_gives_the_same_logits(preset: str, name: str, kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = create_model(preset, in_channels=2, out_channels=3).eval()
    assert export_network(network, tmp_path / name, kind, (2, *SIZE)) <= 1e-4
    run, *_ = exporting.FORMATS[kind][1](tmp_path / name, torch.device("cpu"))
    windows = torch.randn(5, 2, *SIZE)
    with torch.inference_mode():
        torch.testing.assert_close(run(windows), network(windows), rtol=1e-4, atol=1e-4)
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", FORMATS)
def test_command_exports_a_bundle(bundle: Path, name: str, tmp_path: Path) -> None:
    result = hybridseg("export", str(bundle), "-o", str(tmp_path / name), "--size", "16", "16", "16", "--json")
    assert (result.code, result.err) == (0, "")
    record = json.loads(result.out)
    assert (record["format"], record["window"]) == (FORMATS[name], [1, 16, 16, 16])
    assert 0 <= record["largest_difference"] <= 1e-4
    assert (tmp_path / name).stat().st_size > 1e5


def test_onnx_file_matches_the_triton_config_of_the_docs(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    page = (Path(__file__).parents[3] / "docs" / "howto" / "export.md").read_text(encoding="utf-8")
    documented = re.findall(r'name: "(\w+)", data_type: TYPE_FP32, dims: \[([\d, ]+)\]', page)
    configs = bundle_path("phantom_ct_segmentation") / "configs"
    _, *window = (int(n) for n in documented[0][1].split(", "))
    assert window == json.loads((configs / "inference.json").read_text(encoding="utf-8"))["patch_size"]
    network = create_model("tiny", in_channels=1, out_channels=6).eval()
    export_network(network, tmp_path / "net.onnx", "onnx", (1, *window))
    graph = onnx.load(tmp_path / "net.onnx").graph
    values = [(value.name, value.type.tensor_type.shape.dim) for value in (*graph.input, *graph.output)]
    assert documented == [(name, ", ".join(str(axis.dim_value) for axis in shape[1:])) for name, shape in values]


def test_other_networks_get_the_channels_of_their_config(bundle: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"in_channels": 2, "out_channels": 3, "init_filters": 8}
    other = shutil.copytree(bundle, tmp_path / "other")
    file = other / "configs" / "inference.json"
    definition = {"_target_": "monai.networks.nets.SegResNet", **options}
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), "network_def": definition}))
    torch.save(SegResNet(**options).state_dict(), other / "models" / "model.pt")
    words = ["-o", str(tmp_path / "net.ts"), "--size", "16", "16", "16", "--json"]
    assert json.loads(hybridseg("export", str(other), *words).out)["window"] == [2, 16, 16, 16]


def test_file_with_other_logits_is_not_kept(tmp_path: Path) -> None:
    class Random(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.rand(())

    with pytest.raises(ValueError, match=r"net\.ts: logits differ by .* of the largest: must be at most 1e-04"):
        export_network(Random(), tmp_path / "net.ts", "torchscript", (1, 4, 4, 4))
    assert not list(tmp_path.iterdir())


def test_unwritable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"file/net\.ts: .*: must be a file that can be written"):
        export_network(nn.Identity(), tmp_path / "file" / "net.ts", "torchscript", (1, 4, 4, 4))


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ValueError, match=r"format: onnx: needs onnxscript: pip install '\.\[export\]' in a clone"):
        export_network(nn.Identity(), tmp_path / "net.onnx", "onnx", (1, 4, 4, 4))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "net.engine"], "output: net.engine: must end in .onnx, .ts, .pt2, or name --format"),
        (["-o", "net.ts", "--size", "0", "4", "4"], "size: (0, 4, 4): must be positive"),
        (["-o", "net.ts", "--checkpoint", "nowhere.pt"], "nowhere.pt: does not exist"),
    ],
)
def test_wrong_usage_is_one_line(bundle: Path, words: list[str], message: str) -> None:
    result = hybridseg("export", str(bundle), *words)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("place", ["models/model.pt", "configs/inference.json", "weights.pt"])
def test_export_never_replaces_what_it_reads(bundle: Path, tmp_path: Path, place: str) -> None:
    own = shutil.copytree(bundle, tmp_path / "own")
    (own / "weights.pt").write_bytes((own / "models" / "model.pt").read_bytes())
    kept = (own / place).read_bytes()
    words: list[str | Path] = ["--checkpoint", own / place] if place == "weights.pt" else []
    result = hybridseg("export", own, "-o", own / place, "--format", "torchscript", "--size", "16", "16", "16", *words)
    assert result.code == 2
    assert f"output: {own / place}: must be another file than the weights and configs of the bundle" in result.err
    assert (own / place).read_bytes() == kept
