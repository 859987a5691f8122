"""A wrong `hybridseg predict` is told before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from hybridseg.bundles import bundle_names

from .conftest import hybridseg, write_volume


def mistakes(bundle: Path, tmp_path: Path) -> dict[str, list[str | Path]]:
    """What follows `hybridseg predict` in wrong usage, by what the error says."""
    image, output = write_volume(tmp_path / "image.nii.gz"), tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    write_volume(tmp_path / "twice" / "image.nii.gz")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    torch.save({"code": print}, tmp_path / "code.pt")
    torch.save([1], tmp_path / "list.pt")
    right: list[str | Path] = ["-o", output, "--bundle", bundle]
    return {
        "does not exist": [tmp_path / "nothing.nii.gz", *right],
        "no volumes": [tmp_path / "empty", *right],
        "extension ''": [tmp_path / "file", *right],
        "at least one file or folder": right,
        "every input needs a case name of its own": [image, tmp_path / "twice", *right],
        f"shipped bundle ({', '.join(bundle_names())})": [image, "-o", output, "--bundle", "liver"],
        "file: File exists: must be a folder": [image, "-o", tmp_path / "file", "--bundle", bundle],
        "must be another file than the input": [image, "-o", tmp_path, "--bundle", bundle],
        "device: 'gpu': must be auto, cpu, cuda or cuda:N": [image, *right, "--device", "gpu"],
        "CUDA devices: must be one of them, or cpu": [image, *right, "--device", "cuda:99"],
        "none.pt: does not exist": [image, *right, "--checkpoint", tmp_path / "none.pt"],
        "must be weights of the bundle's network": [image, *right, "--checkpoint", tmp_path / "other.pt"],
        "code.pt: unreadable": [image, *right, "--checkpoint", tmp_path / "code.pt"],
        "list.pt: not a state dict": [image, *right, "--checkpoint", tmp_path / "list.pt"],
    }


def test_wrong_usage_is_one_line_and_writes_nothing(bundle: Path, tmp_path: Path) -> None:
    for message, words in mistakes(bundle, tmp_path).items():
        outcome = hybridseg("predict", *words)
        assert outcome.code == 2, message
        assert outcome.out == "", message
        assert outcome.err.startswith("hybridseg predict: "), message
        assert outcome.err.count("\n") == 1, message
        assert message in outcome.err
    assert not [*(tmp_path / "out").glob("*")]


def test_an_option_of_the_windows_is_wrong_usage(bundle: Path, tmp_path: Path, volume: Callable[[str], Path]) -> None:
    outcome = hybridseg("predict", volume("one"), "-o", tmp_path / "out", "--bundle", bundle, "--overlap", "1.5")
    assert (outcome.code, outcome.err) == (2, "hybridseg predict: overlap: 1.5: must be at least 0 and below 1\n")
