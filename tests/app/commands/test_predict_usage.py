"""Wrong usage of `hybridseg predict` is reported before anything is computed."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import pytest
import torch

from hybridseg.bundles import bundle_names
from hybridseg.networks import create_model

from ...faults.bad_files import Write, content, named, nifti
from ...faults.bad_nifti import pair
from ..conftest import hybridseg, label_maps, predict, write_volume


def symlink(target: str) -> Write:
    """Return a writer of a link to a name in its own folder, or to itself."""

    def write(folder: Path) -> Path:
        (folder / "scan.nii").symlink_to(target)
        return folder / "scan.nii"

    return write


def empty_folder(name: str) -> Write:
    """Return a writer of an empty folder with this name."""

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
    "list of a missing file": (content("scans.csv", b"case,image\na,gone.nii\n"), r"scans\.csv: .*gone\.nii"),
    "list with a name outside of the folder": (
        content("scans.csv", b"case,image\n../a,good.nii\n"),
        r"scans\.csv: .*without folders",
    ),
    "broken list": (content("scans.json", b"{"), r"scans\.json: "),
    "duplicate name": (
        named("good.nii.gz", nifti("a.nii.gz")),
        "good.nii.*: case name 'good', as .*: every input needs",
    ),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_invalid_input_is_one_line_and_writes_nothing(bundle: Path, folder: Path, kind: str) -> None:
    write, message = INPUTS[kind]
    result = predict(bundle, folder.parent / "out", write(folder), nifti("good.nii")(folder))
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("hybridseg predict: ")
    assert re.search(message, line)
    assert label_maps(folder.parent / "out") == []


def test_broken_link_in_a_folder_does_not_stop_the_others(bundle: Path, folder: Path) -> None:
    symlink("scan.nii")(folder)
    empty_folder("folder.nii.gz")(folder)
    nifti("good.nii")(folder)
    result = predict(bundle, folder.parent / "out", folder)
    assert result.code == 1
    assert result.err == f"hybridseg predict: {folder / 'scan.nii'}: not a file: must be a file that exists\n"
    assert label_maps(folder.parent / "out") == ["good.nii.gz"]


def test_output_below_a_file_is_an_error(bundle: Path, folder: Path) -> None:
    image = nifti()(folder)
    result = predict(bundle, image / "out", image)
    rule = "must be a folder that can be made and written to"
    assert (result.code, result.err) == (
        2,
        f"hybridseg predict: output: {image / 'out'}: Not a directory: {rule}\n",
    )


def test_read_only_output_is_an_error(bundle: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybridseg.app.commands.command.os.access", lambda *_: False)  # root may write everywhere
    result = predict(bundle, folder / "out", nifti()(folder))
    assert result.code == 2
    assert re.fullmatch(r"hybridseg predict: output: .*/out: no permission: must be a folder that .*\n", result.err)


def wrong_options(bundle: Path, folder: Path) -> dict[str, list[str | Path]]:
    """Return invalid arguments of `hybridseg predict`, by their error message."""
    image, output = nifti("image.nii.gz")(folder), folder.parent / "out"
    (folder.parent / "file").touch()
    valid: list[str | Path] = ["-o", output, "--bundle", bundle]
    return {
        "at least one file or folder": valid,
        f"shipped bundle ({', '.join(bundle_names())})": [image, "-o", output, "--bundle", "liver"],
        "file: File exists: must be a folder": [image, "-o", folder.parent / "file", "--bundle", bundle],
        "must be another file than the input": [image, "-o", folder, "--bundle", bundle],
        "must be another folder than the input": [folder, "-o", folder, "--bundle", bundle],
        "device: 'gpu': must be auto, cpu, cuda or cuda:N": [image, *valid, "--device", "gpu"],
        "CUDA devices: must be one of them, or cpu": [image, *valid, "--device", "cuda:99"],
        "none.pt: does not exist": [image, *valid, "--checkpoint", folder / "none.pt"],
        "predict: overlap: 1.5: must be at least 0 and below 1\n": [image, *valid, "--overlap", "1.5"],
    }


@pytest.mark.parametrize("place", ["b.nii.gz", "b.png", "probabilities/b.nii.gz", "nrrd/b.nrrd", "dicom-seg/b.dcm"])
def test_output_never_replaces_an_input_of_any_case(bundle: Path, tmp_path: Path, place: str) -> None:
    image, other = tmp_path / "lab" / place, write_volume(tmp_path / "scans" / "scan.nii.gz")
    image.parent.mkdir(parents=True)
    shutil.copy(other, image)
    kept = image.read_bytes()
    listing = tmp_path / "list.csv"
    listing.write_text(f"case,image\na,{image}\nb,{other}\n")
    result = predict(bundle, tmp_path / "lab", listing, "--overwrite")
    assert (result.code, result.out) == (2, "")
    assert result.err == f"hybridseg predict: output: {image}: must be another file than the inputs\n"
    assert image.read_bytes() == kept


def test_invalid_option_is_one_line_and_writes_nothing(bundle: Path, folder: Path) -> None:
    for message, words in wrong_options(bundle, folder).items():
        result = hybridseg("predict", *words)
        assert result.code == 2, message
        assert result.out == "", message
        assert result.err.startswith("hybridseg predict: "), message
        assert result.err.count("\n") == 1, message
        assert message in result.err
    assert label_maps(folder.parent / "out") == []


class Trap:
    """An object that runs code when it is unpickled carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, Path]:
    """Make files that are not weights of the bundle's network."""
    files = {name: tmp_path / f"{name}.pt" for name in ("other", "trap", "pickle", "empty", "cut", "image", "list")}
    torch.save(create_model("tiny", in_channels=1, out_channels=6).state_dict(), files["other"])
    torch.save({"weight": Trap(tmp_path / "executed")}, files["trap"])
    files["pickle"].write_bytes(pickle.dumps(Trap(tmp_path / "executed")))
    files["empty"].touch()
    files["cut"].write_bytes(files["other"].read_bytes()[:5000])
    write_volume(tmp_path / "image.nii").rename(files["image"])
    torch.save([1], files["list"])
    return files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("other", "tensors differ: .* has shape .*: must be the weights of this network"),
        ("list", "not a state dict: must hold the network's weights and nothing else"),
        *((name, "unreadable: must be a state dict saved by torch.save") for name in ("trap", "pickle", "empty")),
        *((name, "unreadable: must be a state dict saved by torch.save") for name in ("cut", "image")),
    ],
)
def test_invalid_weights_are_an_error_and_run_no_code(
    bundle: Path, folder: Path, weights: dict[str, Path], name: str, message: str
) -> None:
    result = predict(bundle, folder.parent / "out", nifti()(folder), "--checkpoint", weights[name])
    assert result.code == 2
    assert re.fullmatch(rf"hybridseg predict: {re.escape(str(weights[name]))}: .*{message}.*\n", result.err)
    assert not (folder.parent / "executed").exists()
    assert label_maps(folder.parent / "out") == []


@pytest.mark.parametrize("name", ["labels.nii.gz", "labels.nrrd"])
def test_output_called_like_a_volume_is_an_error(
    bundle: Path, volume: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    result = predict(bundle, tmp_path / name, volume("a"))
    assert result.code == 2
    assert re.search(rf"predict: output: .*{re.escape(name)}: must be a folder", result.err)
    assert not (tmp_path / name).exists()


def test_files_in_other_formats_are_reported(bundle: Path, volume: Callable[[str], Path], tmp_path: Path) -> None:
    other = volume("a").with_name("b.mgz")
    other.touch()
    result = predict(bundle, tmp_path / "out", other.parent)
    assert (result.code, result.err) == (
        0,
        f"hybridseg predict: {other}: a format that is not read: convert it to NIfTI to segment it too\n",
    )
