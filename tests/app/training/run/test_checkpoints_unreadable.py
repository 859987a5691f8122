"""A training resumes from the newest checkpoint that can be read."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from hybridseg.app.training import Checkpoints


def train(run_dir: Path, epochs: int, resume: bool | str = False) -> list[int]:
    """Train a network for nothing, and return the epochs that were trained."""
    seen: list[int] = []
    trainer = Engine(lambda engine, batch: seen.append(engine.state.epoch))
    objects: dict[str, Any] = {"network": torch.nn.Linear(1, 1)}
    Checkpoints(run_dir, objects, resume).attach(trainer)
    trainer.run([0], max_epochs=epochs)
    return seen


def test_torn_checkpoint_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path, 3)
    newest = tmp_path / "checkpoint_epoch=3.pt"
    newest.write_bytes(newest.read_bytes()[:200])
    with caplog.at_level(logging.WARNING, "hybridseg.training"):
        assert train(tmp_path, 4, resume=True) == [3, 4]
    assert f"{newest}: unreadable" in caplog.text


def test_checkpoint_with_a_flipped_bit_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path, 3)
    newest = tmp_path / "checkpoint_epoch=3.pt"
    content = bytearray(newest.read_bytes())
    weight = torch.load(newest, weights_only=True)["network"]["weight"]
    content[content.index(weight.numpy().tobytes())] ^= 1
    newest.write_bytes(content)
    with caplog.at_level(logging.WARNING, "hybridseg.training"):
        assert train(tmp_path, 4, resume=True) == [3, 4]
    assert f"{newest}: unreadable" in caplog.text


def test_checkpoint_with_nan_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path, 3)
    newest = tmp_path / "checkpoint_epoch=3.pt"
    content = torch.load(newest, weights_only=True)
    content["network"]["weight"][0] = float("nan")
    torch.save(content, newest)
    with caplog.at_level(logging.WARNING, "hybridseg.training"):
        assert train(tmp_path, 4, resume=True) == [3, 4]
    assert f"{newest}: NaN or infinity in weight: must be the weights of a training that converged" in caplog.text


def test_checkpoint_of_another_network_is_an_error(tmp_path: Path) -> None:
    train(tmp_path, 3)
    difference = r"1 tensor differs: weight has shape \(1, 1\) instead of \(1, 2\)"
    with pytest.raises(
        ValueError,
        match=rf"{tmp_path}/checkpoint_epoch=3\.pt: {difference}: must be the weights of this network",
    ):
        Checkpoints(tmp_path, {"network": torch.nn.Linear(2, 1)}, resume=True)


@pytest.mark.parametrize(
    "content",
    [{}, [1], {"network": {}}, {"network": 1, "trainer": {}}],
    ids=["empty", "list", "no trainer", "no network"],
)
def test_other_files_are_not_resumed(content: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path, 2)
    newest = tmp_path / "checkpoint_epoch=2.pt"
    torch.save(content, newest)
    with caplog.at_level(logging.WARNING, "hybridseg.training"):
        assert train(tmp_path, 3, resume=True) == [2, 3]
    assert f"{newest}: not a checkpoint of this training" in caplog.text


def test_run_without_a_readable_checkpoint_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_epoch=1.pt").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"run_dir: .*: no checkpoint can be read: remove them to start anew"):
        Checkpoints(tmp_path, {}, resume=True)


def test_resume_auto_starts_or_continues(tmp_path: Path) -> None:
    assert train(tmp_path, 2, resume="auto") == [1, 2]
    assert train(tmp_path, 3, resume="auto") == [3]


def test_unknown_resume_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="resume: 'yes': must be true, false or auto"):
        Checkpoints(tmp_path, {}, resume="yes")
