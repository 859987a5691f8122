"""What is in the tree is in the wheel, and the wheel is all that a user needs; a packed bundle needs even less."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from importlib.metadata import version
from pathlib import Path

import pytest

from hybridseg.app.bundling.packing import pack_bundle, requirements
from hybridseg.bundles import bundle_path
from hybridseg.transforms.phantoms import write_phantoms

from .environments import make_environment

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "bundles", "networks", "transforms")
BUNDLE = "phantom_ct_segmentation"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command as a user would, without this process's Python settings, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(python: str | Path, *command: str | Path) -> str:
    """Run this environment's pip on a Python."""
    return run(sys.executable, "-m", "pip", "--python", python, *command, cwd=ROOT)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from a copy of the tree: a build folder left in the tree would leak into it."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    pip(sys.executable, "wheel", "--no-deps", "--wheel-dir", out, tree)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel and its dependencies."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        needed = message_from_bytes(archive.read(metadata)).get_all("Requires-Dist", [])
    python = make_environment(
        tmp_path_factory.mktemp("environment"), (text for text in needed if "extra ==" not in text)
    )
    pip(python, "install", "--no-deps", "--no-index", wheel)
    return python


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    tree = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {f"hybridseg/{name}" for name in tree}


def test_wheel_holds_the_licence(wheel: Path) -> None:
    (licence,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/licenses/LICENSE"))
    assert zipfile.ZipFile(wheel).read(licence) == (ROOT / "LICENSE").read_bytes()


@pytest.mark.slow
def test_installed_command_prints_its_version(python: Path, tmp_path: Path) -> None:
    assert version("hybridseg") in run(python.with_name("hybridseg"), "--version", cwd=tmp_path)


@pytest.mark.slow
def test_every_module_of_the_wheel_imports(python: Path, tmp_path: Path) -> None:
    program = f"""
import importlib, pkgutil
for package in {PACKAGES}:
    found = importlib.import_module(f"hybridseg.{{package}}")
    for module in pkgutil.walk_packages(found.__path__, f"{{found.__name__}}."):
        if not module.name.endswith(".__main__") and module.name != "hybridseg.app.figures.widgets":  # needs anywidget
            importlib.import_module(module.name)
"""
    run(python, "-W", "ignore", "-c", program, cwd=tmp_path)


@pytest.mark.slow
def test_installed_bundle_trains_from_another_folder(python: Path, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "data", 4)
    bundle = Path(run(python.with_name("hybridseg"), "info", "--path", BUNDLE, cwd=tmp_path).strip())
    assert bundle.is_relative_to(python.parents[1])
    options = {
        "config_file": bundle / "configs" / "train.json",
        "bundle_root": bundle,
        "dataset_dir": "data",
        "run_dir": "run",
        "max_epochs": 1,
        "val_interval": 1,
    }
    overrides = (word for name, value in options.items() for word in (f"--{name}", str(value)))
    run(python, "-m", "monai.bundle", "run", *overrides, cwd=tmp_path)
    assert (tmp_path / "run" / "model.pt").is_file()


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a packed bundle."""
    folder = tmp_path_factory.mktemp("packed")
    pack_bundle(bundle_path(BUNDLE), folder / "bundle.zip")
    with zipfile.ZipFile(folder / "bundle.zip") as archive:
        archive.extractall(folder)
    return folder / BUNDLE


@pytest.fixture(scope="session")
def bare_python(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with what the packed bundle's metadata name, and nothing else."""
    metadata = json.loads((packed / "configs" / "metadata.json").read_text())
    return make_environment(tmp_path_factory.mktemp("bare"), requirements(metadata))


@pytest.mark.slow
def test_packed_bundle_runs_with_packages_of_its_metadata(packed: Path, bare_python: Path, tmp_path: Path) -> None:
    listed = json.loads(pip(bare_python, "list", "--format", "json"))
    installed = {entry["name"].lower() for entry in listed}
    assert installed.isdisjoint(
        {"hybridseg", "highdicom", "isal", "matplotlib", "scipy", "tensorboard", "tqdm", "tyro"}
    )
    write_phantoms(tmp_path / "data", 4, seed=3, test_count=1)
    command = (bare_python, "-m", "monai.bundle")
    for config, options in (
        ("inference", {"dataset_dir": tmp_path / "data" / "imagesTs", "output_dir": tmp_path / "labels"}),
        ("train", {"dataset_dir": tmp_path / "data", "run_dir": tmp_path / "run", "max_epochs": 1}),
    ):
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        run(*command, "run", "--config_file", f"configs/{config}.json", *words, cwd=packed)
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["phantom_004.nii.gz"]
    assert (tmp_path / "run" / "model.pt").is_file()


@pytest.mark.slow
def test_monai_tools_accept_a_packed_bundle(packed: Path, bare_python: Path, tmp_path: Path) -> None:
    options = ["--net_id", "network_def", "--meta_file", "configs/metadata.json"]
    options += ["--config_file", "configs/inference.json"]
    command = (bare_python, "-m", "monai.bundle")
    run(*command, "verify_net_in_out", *options, "--device", "cpu", cwd=packed)
    exported = ["--filepath", str(tmp_path / "model.ts"), "--ckpt_file", "models/model.pt", "--use_trace", "True"]
    run(*command, "ckpt_export", *options, *exported, "--input_shape", "[1,1,48,48,48]", cwd=packed)
    assert (tmp_path / "model.ts").is_file()
