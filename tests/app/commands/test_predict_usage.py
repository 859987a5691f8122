"""A wrong `hybridseg predict` is told before anything is computed."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import pytest
import torch

from hybridseg.bundles import bundle_names
from hybridseg.networks import create_model

from ..conftest import hybridseg, label_maps, predict, write_volume
from .bad_files import Write, content, named, nifti
from .bad_nifti import pair


def symlink(target: str) -> Write:
    """A link to a name in its own folder, perhaps its own."""

    def write(folder: Path) -> Path:
        (folder / "scan.nii").symlink_to(target)
        return folder / "scan.nii"

    return write


def empty_folder(name: str) -> Write:
    """A folder with this name."""

    def write(folder: Path) -> Path:
        (folder / name).mkdir()
        return folder / name

    return write


INPUTS: dict[str, tuple[Write, str]] = {
    "missing": (lambda folder: folder / "gone.nii", "gone.nii: does not exist: must be a file or a folder"),
    "link to itself": (symlink("scan.nii"), "scan.nii: does not exist: must be a file or a folder"),
    "link to nothing": (symlink("gone.nii"), "scan.nii: does not exist: must be a file or a folder"),
    "empty folder": (empty_folder("scans"), "scans: no volumes: a folder must hold"),
    "empty folder called .nii.gz": (empty_folder("scan.nii.gz"), "scan.nii.gz: .*: a folder must hold"),
    "pair": (pair(nib.Nifti1Pair), "scan.hdr: extension '.hdr': must be one of .nii.gz, .nii"),
    "Analyze": (pair(nib.AnalyzeImage), "scan.hdr: extension '.hdr': must be one of .nii.gz, .nii"),
    "no extension": (content("scan"), "scan: extension '': must be one of .nii.gz, .nii"),
    "other extension": (named("scan.nii.zst", nifti()), "scan.nii.zst: extension '.zst': must be one of .nii.gz, .nii"),
    "list of nothing": (content("scans.csv", b"case,image\n"), r"scans\.csv: "),
    "list of what is not there": (content("scans.csv", b"case,image\na,gone.nii\n"), r"scans\.csv: .*gone\.nii"),
    "list with a way out": (content("scans.csv", b"case,image\n../a,good.nii\n"), r"scans\.csv: .*without folders"),
    "list that is none": (content("scans.json", b"{"), r"scans\.json: "),
    "duplicate name": (
        named("good.nii.gz", nifti("a.nii.gz")),
        "good.nii.*: case name 'good', as .*: every input needs",
    ),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_inputs_that_are_none_are_one_line_before_anything_is_written(bundle: Path, folder: Path, kind: str) -> None:
    write, message = INPUTS[kind]
    outcome = predict(bundle, folder.parent / "out", write(folder), nifti("good.nii")(folder))
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("hybridseg predict: ")
    assert re.search(message, line)
    assert label_maps(folder.parent / "out") == []


def test_links_to_nowhere_in_a_folder_do_not_keep_the_others(bundle: Path, folder: Path) -> None:
    symlink("scan.nii")(folder)
    empty_folder("folder.nii.gz")(folder)
    nifti("good.nii")(folder)
    outcome = predict(bundle, folder.parent / "out", folder)
    assert outcome.code == 1
    assert outcome.err == f"hybridseg predict: {folder / 'scan.nii'}: not a file: must be a file that exists\n"
    assert label_maps(folder.parent / "out") == ["good.nii.gz"]


def test_an_output_below_a_file_is_refused(bundle: Path, folder: Path) -> None:
    image = nifti()(folder)
    outcome = predict(bundle, image / "out", image)
    rule = "must be a folder that can be made and written to"
    assert (outcome.code, outcome.err) == (
        2,
        f"hybridseg predict: output: {image / 'out'}: Not a directory: {rule}\n",
    )


def test_a_read_only_output_is_refused(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridseg.app.commands.command.os.access", lambda *_: False)  # root may write everywhere
    outcome = predict(bundle, folder / "out", nifti()(folder))
    assert outcome.code == 2
    assert re.fullmatch(r"hybridseg predict: output: .*/out: no permission: must be a folder that .*\n", outcome.err)


def wrong_options(bundle: Path, folder: Path) -> dict[str, list[str | Path]]:
    """What follows `hybridseg predict`, by what the error says."""
    image, output = nifti("image.nii.gz")(folder), folder.parent / "out"
    (folder.parent / "file").touch()
    right: list[str | Path] = ["-o", output, "--bundle", bundle]
    return {
        "at least one file or folder": right,
        f"shipped bundle ({', '.join(bundle_names())})": [image, "-o", output, "--bundle", "liver"],
        "file: File exists: must be a folder": [image, "-o", folder.parent / "file", "--bundle", bundle],
        "must be another file than the input": [image, "-o", folder, "--bundle", bundle],
        "must be another folder than the input": [folder, "-o", folder, "--bundle", bundle],
        "device: 'gpu': must be auto, cpu, cuda or cuda:N": [image, *right, "--device", "gpu"],
        "CUDA devices: must be one of them, or cpu": [image, *right, "--device", "cuda:99"],
        "none.pt: does not exist": [image, *right, "--checkpoint", folder / "none.pt"],
        "predict: overlap: 1.5: must be at least 0 and below 1\n": [image, *right, "--overlap", "1.5"],
    }


def test_wrong_options_are_one_line_and_nothing_is_written(bundle: Path, folder: Path) -> None:
    for message, words in wrong_options(bundle, folder).items():
        outcome = hybridseg("predict", *words)
        assert outcome.code == 2, message
        assert outcome.out == "", message
        assert outcome.err.startswith("hybridseg predict: "), message
        assert outcome.err.count("\n") == 1, message
        assert message in outcome.err
    assert label_maps(folder.parent / "out") == []


class Trap:
    """Something that runs code when it is unpickled carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, Path]:
    """Files that are no weights of the bundle's network."""
    files = {name: tmp_path / f"{name}.pt" for name in ("other", "trap", "pickle", "empty", "cut", "image", "list")}
    torch.save(create_model("tiny", in_channels=1, out_channels=6).state_dict(), files["other"])
    torch.save({"weight": Trap(tmp_path / "sprung")}, files["trap"])
    files["pickle"].write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    files["empty"].touch()
    files["cut"].write_bytes(files["other"].read_bytes()[:5000])
    write_volume(tmp_path / "image.nii").rename(files["image"])
    torch.save([1], files["list"])
    return files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", "tensors are missing, unknown or of another shape, such as .*: must be weights of the bundle's"),
        ("list", "not a state dict: must hold the network's weights and nothing else"),
        *((name, "unreadable: must be a state dict saved by torch.save") for name in ("trap", "pickle", "empty")),
        *((name, "unreadable: must be a state dict saved by torch.save") for name in ("cut", "image")),
    ],
)
def test_weights_that_are_none_are_refused_and_no_code_in_them_runs(
    bundle: Path, folder: Path, weights: dict[str, Path], name: str, message: str
) -> None:
    outcome = predict(bundle, folder.parent / "out", nifti()(folder), "--checkpoint", weights[name])
    assert outcome.code == 2
    assert re.fullmatch(rf"hybridseg predict: {re.escape(str(weights[name]))}: .*{message}.*\n", outcome.err)
    assert not (folder.parent / "sprung").exists()
    assert label_maps(folder.parent / "out") == []
