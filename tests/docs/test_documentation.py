"""The documentation's commands run, page after page, in one folder; its links resolve, its figures are up to date."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hybridseg.transforms import open_dataset

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = (
    "index.md",
    "howto/explore.md",
    "howto/my-data.md",
    "howto/cross-validation.md",
    "howto/new-mixer.md",
    "howto/export.md",
    "howto/pack.md",
)
"""The pages with commands to run, in the order in which they build on each other."""
SHORTER = {
    "\nhybridseg demo -o demo\n": "\nhybridseg demo -o demo --epochs 2\n",
    " --memory 2GB ": " --memory 2GB --preset tiny --patch 32 32 32 ",
}
"""What takes less time in the tests."""
BLOCK = re.compile(r"^```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")
NOT_RUN = re.compile(r"^\*Not run by the tests[^\n]*:\*\n\n```text\n", re.MULTILINE)


def run(words: list[str], folder: Path) -> None:
    finished = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=1200)
    assert finished.returncode == 0, f"{words[-1]}\n{finished.stdout[-1000:]}\n{finished.stderr[-3000:]}"


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_every_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    for page in PAGES:
        text = (DOCS / page).read_text(encoding="utf-8")
        for command, shorter in SHORTER.items():
            text = text.replace(command, shorter)
        for block in BLOCK.finditer(text):
            if block["kind"] == "bash":
                run(["bash", "-euo", "pipefail", "-c", block["text"]], tmp_path)
            elif block["title"]:
                (tmp_path / block["title"]).write_text(block["text"], encoding="utf-8")
            elif block["kind"] == "python":
                run([sys.executable, "-c", f"import sys; sys.path.insert(0, '.')\n{block['text']}"], tmp_path)
    assert (tmp_path / "demo" / "demo.png").is_file()
    assert (tmp_path / "my_labels").is_dir()
    assert list((tmp_path / "packed_labels").glob("*.nii.gz"))


def test_dataset_json_of_the_page_names_channel_and_labels(tmp_path: Path) -> None:
    text = (DOCS / "howto/my-data.md").read_text(encoding="utf-8")
    (listing,) = (block["text"] for block in BLOCK.finditer(text) if block["text"].startswith("{"))
    (tmp_path / "dataset.json").write_text(listing, encoding="utf-8")
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.nii.gz").touch()
    dataset = open_dataset(tmp_path)
    assert (dataset.modalities, dataset.label_names, len(dataset.cases)) == (("CT",), {1: "liver", 2: "spleen"}, 1)


def test_commands_that_are_not_run_are_marked() -> None:
    for page in [DOCS / "index.md", *(DOCS / "howto").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        kinds = [block["kind"] for block in BLOCK.finditer(text)]
        assert kinds.count("text") == len(NOT_RUN.findall(text)), page
        assert set(kinds) <= {"bash", "python", "text"}, page
        assert page.relative_to(DOCS).as_posix() in PAGES or "bash" not in kinds, page


@pytest.mark.parametrize("page", sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")))
def test_links_resolve(page: str) -> None:
    for target in LINK.findall((DOCS / page).read_text(encoding="utf-8")):
        assert ((DOCS / page).parent / target).exists(), target


def test_every_page_is_in_the_menu() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        if page.parent.name == "ablation":  # records beside the results, which the built pages leave out
            continue
        assert f": {page.relative_to(DOCS).as_posix()}\n" in menu, page


def test_figures_are_those_of_the_code(tmp_path: Path) -> None:
    shutil.copy(DOCS / "figures.py", tmp_path)
    run([sys.executable, "figures.py"], tmp_path)
    for figure in (tmp_path / "images").iterdir():
        assert figure.read_bytes() == (DOCS / "images" / figure.name).read_bytes(), (
            f"{figure.name}: python docs/figures.py"
        )


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")], ROOT)
    assert "HybridSwinUNETR" in (tmp_path / "site" / "reference" / "networks" / "index.html").read_text(
        encoding="utf-8"
    )


def test_promises_name_tests_that_exist() -> None:
    page = (DOCS / "concepts" / "promises.md").read_text(encoding="utf-8")
    named = re.findall(r"`(\S+\.py)::(\w+)`", page)
    assert len(named) > 20
    missing = [
        name for file, name in named if f"def {name}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_known_situations_name_tests_that_exist() -> None:
    page = (DOCS / "reference" / "known-situations.md").read_text(encoding="utf-8")
    named = re.findall(r"`([a-z_/]+\.py)`", page)
    assert len(named) > 20
    assert [file for file in named if not (ROOT / "tests" / file).is_file()] == []
