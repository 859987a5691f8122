"""A bundle is found by its name or by its folder."""

import json
from pathlib import Path

import pytest

from hybridseg.bundles import bundle_names, bundle_path, running_bundle


@pytest.fixture
def foreign_bundle(tmp_path: Path) -> Path:
    """A bundle folder that HybridSeg does not ship."""
    configs = tmp_path / "spleen_ct_segmentation" / "configs"
    configs.mkdir(parents=True)
    (configs / "metadata.json").write_text(json.dumps({"version": "0.1.0"}))
    return configs.parent


def test_every_shipped_name_leads_to_a_bundle() -> None:
    for name in bundle_names():
        folder = bundle_path(name)
        assert folder.name == name
        assert folder.is_absolute()
        assert (folder / "configs" / "metadata.json").is_file()


def test_names_are_sorted_and_name_only_bundles() -> None:
    names = bundle_names()
    assert names == sorted(names)
    assert "__pycache__" not in names


def test_any_bundle_is_found_by_its_path(foreign_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bundle_path(foreign_bundle) == foreign_bundle
    assert bundle_path(str(foreign_bundle)) == foreign_bundle
    monkeypatch.chdir(foreign_bundle.parent)
    assert bundle_path(foreign_bundle.name) == foreign_bundle


def test_shipped_name_wins_over_a_folder_of_that_name(foreign_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in bundle_names():
        foreign_bundle = foreign_bundle.rename(foreign_bundle.with_name(name))
        monkeypatch.chdir(foreign_bundle.parent)
        assert bundle_path(name) != foreign_bundle
        assert bundle_path(foreign_bundle) == foreign_bundle


@pytest.mark.parametrize("name", ["liver", "no/such/folder", ""])
def test_unknown_name_is_an_error_that_lists_the_known(name: str) -> None:
    with pytest.raises(ValueError, match=f"bundle: '{name}': must be the name of a shipped bundle") as caught:
        bundle_path(name)
    for known in bundle_names():
        assert known in str(caught.value)


def test_folder_without_metadata_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"or a folder that holds configs/metadata\.json"):
        bundle_path(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        "--config_file {}/configs/train.json --max_epochs 1",
        "--config_file={}/configs/train.json",
        "--config_file ['{0}/configs/train.json','{0}/configs/multi_gpu_train.json']",
    ],
)
def test_running_bundle_is_that_of_the_config_file(
    foreign_bundle: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setattr("sys.argv", ["monai.bundle", "run", *words.format(foreign_bundle).split()])
    assert running_bundle() == str(foreign_bundle)


@pytest.mark.parametrize("words", ["", "--config_file", "--config_file elsewhere.json"])
def test_running_bundle_defaults_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["python", *words.split()])
    assert running_bundle() == "."
