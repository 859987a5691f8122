"""The contract of mixers, and the mixer that the documentation adds from outside."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hybridseg.networks import BlockContext, HybridSwinUNETR, Mixer
from hybridseg.networks.blocks import Block

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "new-mixer.md"
BLOCK = re.compile(r"^```python(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Double(Mixer):
    def forward(self, x: Tensor) -> Tensor:
        return x


def test_mixer_is_abstract():
    with pytest.raises(TypeError, match="abstract class Mixer"):
        Mixer()  # type: ignore[abstract]


def test_mixer_by_default_mixes_no_channels_and_has_no_windows():
    assert not Double.mixes_channels
    assert Double().windows((4, 4, 4)) is None


def test_context_is_frozen():
    with pytest.raises(AttributeError, match="cannot assign to field 'channels'"):
        BlockContext(8).channels = 16  # type: ignore[misc]


@pytest.fixture
def network(tmp_path, monkeypatch) -> HybridSwinUNETR:
    """Run the code of the documentation and return the network that it makes."""
    module, code = BLOCK.finditer(PAGE.read_text(encoding="utf-8"))
    (tmp_path / module["title"]).write_text(module["text"], encoding="utf-8")
    (tmp_path / "make.py").write_text(code["text"], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, Path(module["title"]).stem, raising=False)
    return runpy.run_path(str(tmp_path / "make.py"))["network"]


def test_documented_mixer_is_used_with_its_options(network):
    blocks = [block for block in network.encoder.stages[2].modules() if isinstance(block, Block)]
    assert [type(block.mixer).__name__ for block in blocks] == ["LargeKernel", "LargeKernel"]
    assert blocks[0].mixer.get_submodule("conv").kernel_size == (5, 5, 5)
    assert None not in (blocks[0].position, blocks[0].feed_forward)


def test_documented_mixer_takes_any_size(network):
    with torch.inference_mode():
        assert network.eval()(torch.randn(1, 1, 9, 20, 17)).shape == (1, 3, 9, 20, 17)
