"""Errors while `hybridseg predict` runs are one line, leave no partial file, and the other cases continue."""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from hybridseg.app.inference.predictor import Predictor
from hybridseg.app.inference.run_record import RunRecord

from ...faults.bad_files import nifti
from ..conftest import label_maps, predict


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files in bytes, so that a writer gets an error as from a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_leaves_no_partial_file(bundle: Path, folder: Path) -> None:
    large = nifti("large.nii", np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32))(folder)
    small, output = nifti("small.nii")(folder), folder.parent / "out"
    assert predict(bundle, output, large, small).code == 0
    sizes = [(output / f"{name}.nii.gz").stat().st_size for name in ("large", "small")]
    (output / "large.nii.gz").unlink()
    (output / "small.nii.gz").unlink()
    (output / "run.json").unlink()
    limit = sizes[0] - 100
    assert limit > max(sizes[1], 4000)  # the record of the run needs less
    with largest_file(limit):
        result = predict(bundle, output, large, small)
    assert result.code == 1
    (line,) = result.err.splitlines()
    assert line.startswith(f"hybridseg predict: {large}: ")
    assert line.endswith(f"{output / 'large.nii.gz'}: {os.strerror(errno.EFBIG)}: the label map must be writable there")
    assert label_maps(output) == ["small.nii.gz"]


def test_missing_image_with_a_label_map_is_skipped(bundle: Path, folder: Path) -> None:
    gone, output = nifti("gone.nii")(folder), folder.parent / "out"
    nifti("two.nii")(folder)
    assert predict(bundle, output, gone).code == 0
    gone.rename(folder.parent / "elsewhere.nii")
    gone.symlink_to(folder / "nowhere.nii")
    assert predict(bundle, output, folder).code == 0
    assert label_maps(output) == ["gone.nii.gz", "two.nii.gz"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_disk_error_fails_one_case_and_leaves_no_partial_file(
    bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    one, two, output = nifti("one.nii")(folder), nifti("two.nii")(folder), folder.parent / "out"
    to_stream, calls = nib.Nifti1Image.to_stream, []

    def fail_once(image: nib.Nifti1Image, stream: Any) -> None:
        calls.append(stream)
        if len(calls) > 1:
            to_stream(image, stream)
            return
        stream.write(b"half of it")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(nib.Nifti1Image, "to_stream", fail_once)
    result = predict(bundle, output, one, two)
    assert result.code == 1
    rule = "the label map must be writable there"
    message = f"{one}: {output / 'one.nii.gz'}: {os.strerror(number)}: {rule}"
    assert result.err == f"hybridseg predict: {message}\n"
    assert label_maps(output) == ["two.nii.gz"]


def test_unreadable_file_fails_the_case(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, load = nifti("one.nii")(folder), nifti("two.nii")(folder), nib.load

    def refuse(path: str | Path, **options: Any) -> Any:
        if Path(path).name == "one.nii":  # root may read everything
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return load(path, **options)

    monkeypatch.setattr("hybridseg.transforms.io.nifti.nib.load", refuse)
    result = predict(bundle, folder.parent / "out", one, two)
    assert result.code == 1
    assert re.fullmatch(rf"hybridseg predict: {one}: unreadable \(.*Permission denied.*\): must be .*\n", result.err)
    assert label_maps(folder.parent / "out") == ["two.nii.gz"]


def test_file_that_disappears_fails_the_case(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, prepare = nifti("one.nii")(folder), nifti("two.nii")(folder), Predictor.prepare

    def remove_first(predictor: Predictor, case: Any) -> Any:
        one.unlink(missing_ok=True)
        return prepare(predictor, case)

    monkeypatch.setattr(Predictor, "prepare", remove_first)
    result = predict(bundle, folder.parent / "out", one, two)
    assert result.code == 1
    assert result.err == f"hybridseg predict: {one}: not a file: must be a file that exists\n"
    assert label_maps(folder.parent / "out") == ["two.nii.gz"]


def scaled_weights(bundle: Path, path: Path, factor: float) -> Path:
    """Write the weights of a bundle's network times a factor."""
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    torch.save({name: tensor * factor for name, tensor in state.items()}, path)
    return path


@pytest.mark.parametrize("factor", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_an_error(bundle: Path, folder: Path, factor: float) -> None:
    weights = scaled_weights(bundle, folder / "spoilt.pt", factor)
    result = predict(bundle, folder.parent / "out", nifti()(folder), "--checkpoint", weights)
    assert result.code == 2
    rule = "must be the weights of a training that converged"
    assert re.fullmatch(rf"hybridseg predict: {weights}: NaN or infinity in \S+: {rule}\n", result.err)
    assert label_maps(folder.parent / "out") == []


def test_nan_logits_fail_the_case(bundle: Path, folder: Path) -> None:
    weights = scaled_weights(bundle, folder / "huge.pt", 1e37)
    image = nifti()(folder)
    result = predict(bundle, folder.parent / "out", image, "--checkpoint", weights)
    assert result.code == 1
    assert result.err == f"hybridseg predict: {image}: logits: NaN: must be numbers\n"
    assert label_maps(folder.parent / "out") == []


def test_unwritable_record_does_not_stop_the_cases(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, output = nifti("one.nii")(folder), nifti("two.nii")(folder), folder.parent / "out"
    write = RunRecord.write
    written: list[RunRecord] = []

    def full_after_the_first(record: RunRecord, *, finished: bool = False) -> None:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(record.folder / "run.json"))
        write(record, finished=finished)
        written.append(record)

    monkeypatch.setattr(RunRecord, "write", full_after_the_first)
    result = predict(bundle, output, one, two)
    assert result.code == 1
    assert "run.json: No space left on device" in result.err
    assert label_maps(output) == ["one.nii.gz", "two.nii.gz"]
