"""Weights of another network, or that are not finite: one line names the file, what is wrong, and the rule."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hybridseg.networks import create_model

from ..app.commands.test_crossval import dataset, trainable
from ..app.conftest import CommandResult, bundle, hybridseg, predict, volume

__all__ = ["bundle", "dataset", "trainable", "volume"]

DIFFERENCES = r"\d+ tensors differ: \S+ has shape \(16, .*\) instead of \(8, .*\) and \d+ more"
OTHER = f"{DIFFERENCES}: must be the weights of this network"
NOT_FINITE = r"NaN or infinity in \S+: must be the weights of a training that converged"
RULES = {"other": OTHER, "not finite": NOT_FINITE}


def write_weights(kind: str, path: Path) -> Path:
    """Write weights of another network, or weights of the bundle's network with a NaN."""
    network = create_model("small" if kind == "other" else "tiny", in_channels=1, out_channels=3)
    weights = network.state_dict()
    if kind == "not finite":
        next(iter(weights.values())).view(-1)[0] = float("nan")
    torch.save(weights, path)
    return path


def check_line(result: CommandResult, command: str, path: Path, rule: str) -> None:
    """Check that a command printed one line about a file and nothing else."""
    assert result.code == 2
    assert re.fullmatch(rf"hybridseg {command}: {re.escape(str(path))}: {rule}\n", result.err), result.err


@pytest.mark.parametrize("kind", RULES)
def test_predict_and_export_name_what_is_wrong(
    kind: str, bundle: Path, volume: Callable[[str], Path], tmp_path: Path
) -> None:
    weights = write_weights(kind, tmp_path / "weights.pt")
    own = bundle / "models" / "model.pt"
    for given in ([weights], [own, weights]):  # one network, and an ensemble
        result = predict(bundle, tmp_path / "out", volume("a"), "--checkpoint", *given)
        check_line(result, "predict", weights, RULES[kind])
    assert not (tmp_path / "out").exists()
    result = hybridseg("export", bundle, "-o", tmp_path / "network.ts", "--checkpoint", weights)
    check_line(result, "export", weights, RULES[kind])
    assert not (tmp_path / "network.ts").exists()


def test_weights_of_other_labels_are_not_used(bundle: Path, volume: Callable[[str], Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(bundle / "models", run)
    own, weights = bundle / "models" / "model.pt", run / "model.pt"

    def predict_after(labels: dict[str, str]) -> CommandResult:
        """Predict by an ensemble with weights that were trained with these labels."""
        (run / "run.json").write_text(json.dumps({"runs": [{"labels": {"label_names": labels}}]}))
        return predict(bundle, tmp_path / "out", volume("a"), "--checkpoint", own, weights)

    for labels in ({"1": "posterior", "2": "anterior"}, {"1": "anterior", "3": "posterior"}):
        found = f'trained with labels {json.dumps(labels)}, not {{"1": "anterior", "2": "posterior"}}'
        check_line(predict_after(labels), "predict", weights, f"{found}: must be used with the labels of its training")
    renamed = predict_after({"1": "liver", "2": "tumour"})
    assert renamed.code == 0
    assert f'{weights}: trained with labels {{"1": "liver", "2": "tumour"}}: used as' in renamed.err


@pytest.mark.parametrize("kind", RULES)
def test_crossval_names_what_is_wrong_with_a_fold(kind: str, trainable: Path, dataset: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    words: list[str | Path] = ["crossval", trainable, dataset, "-o", output, "--folds", "2", "--device", "cpu"]
    assert hybridseg(*words, "--print-commands").code == 0
    for fold in (0, 1):
        folder = output / "folds" / trainable.name / f"fold_{fold}"
        folder.mkdir(parents=True)
        (folder / "trained.json").write_text(json.dumps({"options": []}))
        weights = write_weights(kind, folder / "model.pt")
    check_line(hybridseg(*words), "crossval", output / "folds" / trainable.name / "fold_0" / "model.pt", RULES[kind])
    assert weights.is_file()


@pytest.mark.slow
def test_training_names_what_is_wrong(trainable: Path, dataset: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    words: list[str | Path] = ["train", trainable, dataset, "--run-dir", run_dir, "--device", "cpu"]

    def failure(*more: str) -> str:
        result = hybridseg(*words, *more)
        assert result.code == 1
        (line,) = [line for line in result.err.splitlines() if line.startswith("hybridseg train: training failed: ")]
        return line

    weights = write_weights("not finite", tmp_path / "weights.pt")
    assert re.search(rf"{weights}: {NOT_FINITE}", failure("--epochs", "1", "--set", f"pretrained={weights}"))
    torch.save({"other": torch.zeros(1)}, weights)
    rule = r"none of its 1 tensors has the name and shape .*: must be weights of a similar network"
    assert re.search(rf"{weights}: {rule}", failure("--epochs", "1", "--set", f"pretrained={weights}"))
    assert hybridseg(*words, "--epochs", "1").code == 0
    checkpoint = run_dir / "checkpoint_epoch=1.pt"
    before = checkpoint.read_bytes()
    other = failure("--resume", "--epochs", "2", "--set", "network_def::preset=small")
    shapes = r"\d+ tensors differ: \S+ has shape \(8, .*\) instead of \(16, .*\) and \d+ more"
    assert re.search(rf"{checkpoint}: {shapes}: must be the weights of this network", other)
    assert checkpoint.read_bytes() == before
