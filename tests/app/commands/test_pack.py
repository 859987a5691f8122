"""A packed bundle contains all it needs, is the same each time, and runs where HybridSeg cannot be imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hybridseg.bundles import bundle_names, bundle_path
from hybridseg.transforms.phantoms import write_phantoms

from ..conftest import hybridseg

BUNDLE = "phantom_ct_segmentation"
LEFT_OUT = ("highdicom", "isal", "matplotlib", "scipy", "tensorboard", "tqdm", "tyro")
"""Packages that a packed bundle must not need."""

ONLY_PACKED = f"""
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {LEFT_OUT} else super().find_spec(name, path, target)

others = [finder for finder in sys.meta_path if finder is not PathFinder and "editable" not in str(finder).lower()]
sys.meta_path[:] = [*others, Finder]
"""
"""A sitecustomize that hides the packages left out, and a HybridSeg that is installed by a finder."""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked bundle."""
    folder = tmp_path_factory.mktemp("packed")
    assert hybridseg("pack", BUNDLE, "-o", folder / "bundle.zip").code == 0
    with zipfile.ZipFile(folder / "bundle.zip") as archive:
        archive.extractall(folder)
    return folder / BUNDLE


def run_python(unpacked: Path, folder: Path, *words: str) -> str:
    """Run Python where only the packed code can be imported, and return what it printed."""
    (folder / "sitecustomize.py").write_text(ONLY_PACKED)
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{unpacked}", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", bundle_names())
def test_zip_holds_the_bundle_its_code_and_no_commands(name: str, tmp_path: Path) -> None:
    result = hybridseg("pack", name, "-o", tmp_path / "bundle.zip", "--json")
    assert (result.code, result.err) == (0, "")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        packed = {path.removeprefix(f"{name}/"): archive.read(path) for path in archive.namelist()}
    root = bundle_path(name)
    own = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    changed = {path for path in own if packed[path] != own[path]}
    assert changed == {"configs/metadata.json"}
    code = {path for path in packed.keys() - own.keys() if path.startswith("hybridseg/")}
    assert packed.keys() - own.keys() - code == {"RUN.md"}
    for path in ("__init__.py", "LICENSE", "app/training/best_model.py", "bundles/__init__.py", "networks/py.typed"):
        assert f"hybridseg/{path}" in code
    assert not [path for path in code if path.endswith(("cli.py", "predict.py"))]
    assert len(packed["hybridseg/LICENSE"]) > 10_000
    assert f'load("{name}"' in packed["RUN.md"].decode()
    assert "$" not in packed["RUN.md"].decode()


def test_metadata_require_fire_and_not_hybridseg(unpacked: Path) -> None:
    metadata = json.loads((unpacked / "configs" / "metadata.json").read_text())
    original = json.loads((bundle_path(BUNDLE) / "configs" / "metadata.json").read_text())
    needed, before = (data.pop("required_packages_version") for data in (metadata, original))
    assert metadata == original
    assert needed.keys() == before.keys() - {"hybridseg"} | {"fire"}


def test_same_bundle_gives_the_same_bytes(tmp_path: Path, bundle: Path) -> None:
    for name in ("a.zip", "b.zip"):
        assert hybridseg("pack", bundle, "-o", tmp_path / name).code == 0
        (bundle / "models" / "model.pt").touch()  # changes the modification time
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize(
    ("output", "message"),
    [("bundle.tar", "output: bundle.tar: must end in .zip"), ("file/b.zip", "b.zip: File exists: must be a file")],
)
def test_unwritable_file_is_a_one_line_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    result = hybridseg("pack", BUNDLE, "-o", output)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_zip_in_the_bundle_is_an_error(tmp_path: Path, bundle: Path) -> None:
    own = shutil.copytree(bundle, tmp_path / "own")
    (tmp_path / "link").symlink_to(own)
    before = sorted(own.rglob("*"))
    for output in (own / "own.zip", own / "models" / "own.zip", tmp_path / "link" / "docs" / "own.zip"):
        result = hybridseg("pack", own, "-o", output)
        assert (result.code, result.out) == (2, "")
        assert f"{output}: is in the bundle's folder: must be outside" in result.err
    assert sorted(own.rglob("*")) == before


@pytest.mark.parametrize("target", ["elsewhere.txt", "elsewhere", "nothing"])
def test_link_out_of_the_bundle_is_an_error(tmp_path: Path, bundle: Path, target: str) -> None:
    own = shutil.copytree(bundle, tmp_path / "own")
    (tmp_path / "elsewhere.txt").write_text("private")
    (tmp_path / "elsewhere").mkdir()
    (own / "docs" / "link").symlink_to(tmp_path / target)
    result = hybridseg("pack", own, "-o", tmp_path / "own.zip")
    assert (result.code, result.out) == (2, "")
    assert f"link: a link to {tmp_path / target}: must link to a file of the bundle, or be a copy" in result.err
    assert not (tmp_path / "own.zip").exists()


def test_link_within_the_bundle_is_packed_as_a_file(tmp_path: Path, bundle: Path) -> None:
    own = shutil.copytree(bundle, tmp_path / "own")
    (own / "docs" / "same.md").symlink_to("README.md")
    assert hybridseg("pack", own, "-o", tmp_path / "own.zip").code == 0
    with zipfile.ZipFile(tmp_path / "own.zip") as archive:
        assert archive.read("own/docs/same.md") == archive.read("own/docs/README.md")


def test_packed_bundle_runs_without_hybridseg(unpacked: Path, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "data", 4, seed=3, test_count=1)
    program = f"""
import json, sys
from monai.bundle import create_workflow, load
network = load({BUNDLE!r}, bundle_dir={str(unpacked.parent)!r}, workflow_type="inference", device="cpu")
configs = {str(unpacked / "configs")!r}
inference = dict(dataset_dir="data/imagesTs", output_dir="labels", device="cpu")
create_workflow(config_file=configs + "/inference.json", workflow_type="inference", **inference).run()
training = dict(dataset_dir="data", run_dir="run", device="cpu", max_epochs=1, num_workers=0)
create_workflow(config_file=configs + "/train.json", **training).run()
files = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "hybridseg"]
print(json.dumps({{"network": type(network).__name__, "files": files}}))
"""
    result = json.loads(run_python(unpacked, tmp_path, "-c", program).splitlines()[-1])
    assert result["network"] == "HybridSwinUNETR"
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["phantom_004.nii.gz"]
    assert (tmp_path / "run" / "model.pt").is_file()
    assert len(result["files"]) > 20
    assert [path for path in result["files"] if not Path(path).is_relative_to(unpacked)] == []


def test_packed_code_is_not_mixed_with_an_installed_one(unpacked: Path, tmp_path: Path) -> None:
    installed = tmp_path / "hybridseg" / "bundles"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("raise ImportError('the installed one')")
    program = "from hybridseg.bundles import running_bundle; print(running_bundle())"
    assert run_python(unpacked, tmp_path, "-c", program).strip() == str(unpacked)
