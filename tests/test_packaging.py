"""What is in the tree is in the wheel, and the wheel is all that a user needs."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "bundles", "networks", "transforms")
BUNDLE = "phantom_ct_segmentation"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command as a user would, without this process's Python settings, and give what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from a copy of the tree: a build folder left in the tree would leak into it."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", out, tree, cwd=out)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The Python of a new, empty environment into which the wheel was installed with its dependencies."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", environment, cwd=environment)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", wheel, "--constraint", ROOT / "constraints.txt", cwd=environment)
    yield python
    shutil.rmtree(environment)  # gigabytes


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    files = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()]
    tree = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == {f"hybridseg/{name}" for name in tree}


def test_the_wheel_carries_the_licence(wheel: Path) -> None:
    (licence,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/licenses/LICENSE"))
    assert zipfile.ZipFile(wheel).read(licence) == (ROOT / "LICENSE").read_bytes()


@pytest.mark.slow
def test_the_installed_command_tells_the_version(python: Path, tmp_path: Path) -> None:
    assert version("hybridseg") in run(python.with_name("hybridseg"), "--version", cwd=tmp_path)


@pytest.mark.slow
def test_an_installed_bundle_trains_from_another_folder(python: Path, tmp_path: Path) -> None:
    run(python, "-c", "from hybridseg.transforms import phantom; phantom.write_phantoms('data', 4)", cwd=tmp_path)
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
