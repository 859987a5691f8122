"""A packed bundle holds what it needs, is the same each time, and runs where HybridSeg cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hybridseg.app.bundling import packing
from hybridseg.app.bundling.writer import write_bundle
from hybridseg.bundles import bundle_names, bundle_path
from hybridseg.transforms.phantoms import write_phantoms

from ..conftest import hybridseg

BUNDLE = "phantom_ct_segmentation"
LEFT_OUT = ("highdicom", "isal", "matplotlib", "scipy", "tensorboard", "tqdm", "tyro")
"""What an environment need not have."""

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
"""A sitecustomize under which what is left out cannot be imported, nor HybridSeg where it is installed by a finder."""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an unpacked bundle."""
    folder = tmp_path_factory.mktemp("packed")
    assert hybridseg("pack", BUNDLE, "-o", folder / "bundle.zip").code == 0
    with zipfile.ZipFile(folder / "bundle.zip") as archive:
        archive.extractall(folder)
    return folder / BUNDLE


def run_python(unpacked: Path, folder: Path, *words: str) -> str:
    """Run Python where only the packed code can be imported, and give what it printed."""
    (folder / "sitecustomize.py").write_text(ONLY_PACKED)
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{unpacked}", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", bundle_names())
def test_the_zip_is_the_bundle_with_its_code_and_no_commands(name: str, tmp_path: Path) -> None:
    outcome = hybridseg("pack", name, "-o", tmp_path / "bundle.zip", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        packed = {path.removeprefix(f"{name}/"): archive.read(path) for path in archive.namelist()}
    root = bundle_path(name)
    own = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    changed = {path for path in own if packed[path] != own[path]}
    assert changed == {"configs/metadata.json"}
    code = {path for path in packed.keys() - own.keys() if path.startswith("hybridseg/")}
    assert packed.keys() - own.keys() - code == {"RUN.md"}
    for path in ("__init__.py", "LICENSE", "app/training/handlers.py", "bundles/__init__.py", "networks/py.typed"):
        assert f"hybridseg/{path}" in code
    assert not [path for path in code if path.endswith(("cli.py", "predict.py"))]
    assert len(packed["hybridseg/LICENSE"]) > 10_000
    assert f'load("{name}"' in packed["RUN.md"].decode()
    assert "$" not in packed["RUN.md"].decode()


def test_the_metadata_ask_for_what_is_needed_and_not_for_hybridseg(unpacked: Path) -> None:
    metadata = json.loads((unpacked / "configs" / "metadata.json").read_text())
    original = json.loads((bundle_path(BUNDLE) / "configs" / "metadata.json").read_text())
    needed, before = (data.pop("required_packages_version") for data in (metadata, original))
    assert metadata == original
    assert needed.keys() == before.keys() - {"hybridseg"} | {"fire"}


def test_the_same_bundle_gives_the_same_bytes(tmp_path: Path, bundle: Path) -> None:
    for name in ("a.zip", "b.zip"):
        assert hybridseg("pack", bundle, "-o", tmp_path / name).code == 0
        (bundle / "models" / "model.pt").touch()  # another time of change
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_what_lies_beside_the_bundle_stays_out(tmp_path: Path) -> None:
    for name in ("configs/metadata.json", "configs/.hidden", "runs/model.pt", "scripts/__pycache__/x.pyc", "docs/a.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert packing.bundle_files(tmp_path).keys() == {"configs/metadata.json", "docs/a.md"}


def test_where_a_planned_bundle_found_its_data_is_not_told(tmp_path: Path) -> None:
    settings = {
        "preset": "tiny",
        "modality": "MRI",
        "channels": 1,
        "channel_names": ["MRI"],
        "label_names": {1: "one"},
        "patch_size": [16, 16, 16],
        "data_source": "data",
        "dataset_dir": "/home/someone/secret/däta",
    }
    write_bundle(tmp_path / "mine", settings, {"folds": [["a"], ["b"]], "test": []}, {"plan.json": "{}"})
    (tmp_path / "mine" / "plan").mkdir()
    (tmp_path / "mine" / "plan" / "integrity.csv").write_text("a,")
    assert hybridseg("pack", tmp_path / "mine", "-o", tmp_path / "mine.zip").code == 0
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        assert not [path for path in archive.namelist() if "plan" in path]
        assert not [path for path in archive.namelist() if b"secret" in archive.read(path)]
        assert json.loads(archive.read("mine/configs/train.json"))["dataset_dir"] == "./däta"


def test_nor_is_it_told_by_a_config_that_escapes_its_letters() -> None:
    config = json.dumps({"dataset_dir": "/home/someone/däta"}).encode()
    assert json.loads(packing.without_place(config)) == {"dataset_dir": "./däta"}


@pytest.mark.parametrize(
    ("output", "message"),
    [("bundle.tar", "output: bundle.tar: must end in .zip"), ("file/b.zip", "b.zip: File exists: must be a file")],
)
def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    outcome = hybridseg("pack", BUNDLE, "-o", output)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_config_that_names_what_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text("{}")
    (tmp_path / "configs" / "train.json").write_text(json.dumps({"loss": {"_target_": "hybridseg.losses.Dice"}}))
    outcome = hybridseg("pack", tmp_path, "-o", tmp_path / "b.zip")
    assert outcome.code == 2
    assert "train.json: hybridseg.losses.Dice: must be a part of HybridSeg" in outcome.err
    assert not (tmp_path / "b.zip").exists()


def test_it_loads_segments_and_trains_without_hybridseg(unpacked: Path, tmp_path: Path) -> None:
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
    told = json.loads(run_python(unpacked, tmp_path, "-c", program).splitlines()[-1])
    assert told["network"] == "HybridSwinUNETR"
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["phantom_004.nii.gz"]
    assert (tmp_path / "run" / "model.pt").is_file()
    assert len(told["files"]) > 20
    assert [path for path in told["files"] if not Path(path).is_relative_to(unpacked)] == []


def test_it_knows_its_own_folder_and_is_not_joined_with_an_installed_hybridseg(unpacked: Path, tmp_path: Path) -> None:
    installed = tmp_path / "hybridseg" / "bundles"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("raise ImportError('the installed one')")
    program = "from hybridseg.bundles import running_bundle; print(running_bundle())"
    assert run_python(unpacked, tmp_path, "-c", program).strip() == str(unpacked)
