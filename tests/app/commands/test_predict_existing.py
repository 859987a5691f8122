"""Label maps that exist already: what made them is recorded, and others are not mixed with them unnoticed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from hybridseg.app.inference.predictor import Predictor

from ..conftest import hybridseg, label_maps, predict, voxels_of, write_volume
from ..report_pages import Page

Volume = Callable[[str], Path]


def other_weights(bundle: Path, path: Path) -> Path:
    """Write slightly different weights of a bundle's network."""
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    torch.save({name: tensor * 1.01 if tensor.is_floating_point() else tensor for name, tensor in state.items()}, path)
    return path


def record(output: Path) -> dict[str, Any]:
    """Read the record of a folder."""
    content: dict[str, Any] = json.loads((output / "run.json").read_text())
    return content


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--overlap", "0.25"], "made with overlap 0.5, not 0.25"),
        (["--tta"], "made with tta False, not True"),
        (["--labels", "1"], "made with labels anterior, posterior, not anterior"),
        (["--largest-component"], "made with largest_component False, not True"),
        (["--remove-small", "5"], "made with remove_small None, not 5.0"),
    ],
)
def test_maps_made_with_other_options_stop_the_run(
    bundle: Path, tmp_path: Path, volume: Volume, words: list[str], message: str
) -> None:
    output, one, two = tmp_path / "out", volume("one"), volume("two")
    assert predict(bundle, output, one).code == 0
    before = (output / "run.json").read_bytes()
    result = predict(bundle, output, one, two, *words)
    assert (result.code, result.out) == (2, "")
    rule = "use --overwrite to segment them again, --keep-existing to keep them, or another folder"
    count = "1 of 1 existing label maps were made otherwise"
    assert result.err == f"hybridseg predict: output: {output / 'one.nii.gz'}: {message}: {count}: {rule}\n"
    assert label_maps(output) == ["one.nii.gz"]
    assert (output / "run.json").read_bytes() == before


def test_same_options_in_other_words_are_no_difference(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one = tmp_path / "out", volume("one")
    assert predict(bundle, output, one).code == 0
    result = predict(
        bundle, output, one, "--overlap", "0.5", "--labels", "2,anterior", "--batch", "1", "--device", "cpu"
    )
    assert (result.code, result.err) == (0, "")


def test_maps_made_with_other_weights_or_bundles_stop_the_run(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one = tmp_path / "out", volume("one")
    assert predict(bundle, output, one).code == 0
    weights = other_weights(bundle, tmp_path / "other.pt")
    assert "made with weights model.pt " in predict(bundle, output, one, "--checkpoint", weights).err
    shutil.copy(bundle / "models" / "model.pt", tmp_path / "same.pt")
    assert predict(bundle, output, one, "--checkpoint", tmp_path / "same.pt").err == ""
    renamed = shutil.copytree(bundle, tmp_path / "renamed")
    result = predict(renamed, output, one)
    assert (result.code, "made with bundle random_mri_segmentation, not renamed" in result.err) == (2, True)
    changed = shutil.copytree(bundle, tmp_path / "changed" / bundle.name)
    config = json.loads((changed / "configs" / "inference.json").read_text())
    config["spacing"] = [2.0, 2.0, 2.0]
    (changed / "configs" / "inference.json").write_text(json.dumps(config))
    assert "made with inference.json checksum " in predict(changed, output, one).err
    moved = shutil.copytree(bundle, tmp_path / "moved" / bundle.name)
    assert (predict(moved, output, one).code, predict(moved, output, one).err) == (0, "")


def test_existing_maps_are_kept_or_overwritten_on_request(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one, two = tmp_path / "out", volume("one"), volume("two")
    assert predict(bundle, output, one).code == 0
    kept = predict(bundle, output, one, two, "--overlap", "0.25", "--keep-existing")
    assert kept.code == 0
    assert kept.err.endswith("made with overlap 0.5, not 0.25: 1 of 1 existing label maps were made otherwise: kept\n")
    content = record(output)
    overlaps = [content["runs"][case["run"]]["options"]["overlap"] for case in content["cases"]]
    assert overlaps == [0.5, 0.25]
    result = predict(bundle, output, one, two, "--overlap", "0.25", "--overwrite")
    assert (result.code, result.err) == (0, "")
    content = record(output)
    assert [content["runs"][case["run"]]["options"]["overlap"] for case in content["cases"]] == [0.25, 0.25]
    assert len(content["runs"]) == 1
    both = predict(bundle, output, one, "--overwrite", "--keep-existing")
    assert (both.code, both.err) == (2, "hybridseg predict: overwrite: must not be given together with keep_existing\n")


def test_run_that_skips_every_case_changes_nothing(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one = tmp_path / "out", volume("one")
    assert predict(bundle, output, one).code == 0
    before = (output / "run.json").read_bytes()
    weights = other_weights(bundle, tmp_path / "other.pt")
    assert predict(bundle, output, one, "--checkpoint", weights, "--keep-existing").code == 0
    assert (output / "run.json").read_bytes() == before


def test_maps_without_a_record_are_reported_in_one_line(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, images = tmp_path / "out", [volume("one"), volume("two")]
    assert predict(bundle, output, *images).code == 0
    (output / "run.json").unlink()
    result = predict(bundle, output, *images, "--tta")
    assert result.code == 0
    line = "and 1 more: no record of what made the label map: skipped"
    assert result.err == f"hybridseg predict: {output / 'one.nii.gz'} {line}\n"


def test_map_of_another_file_of_the_same_name_is_reported(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one = tmp_path / "out", volume("one")
    other = write_volume(tmp_path / "elsewhere" / "one.nii.gz")
    assert predict(bundle, output, one).code == 0
    result = predict(bundle, output, other)
    assert result.code == 0
    assert result.err == f"hybridseg predict: {output / 'one.nii.gz'}: made from {one}, not {other}: skipped\n"
    one.replace(moved := tmp_path / "one.nii.gz")
    assert predict(bundle, output, moved).err == ""
    found = f"made from {one}, which is gone, not {other}, which differs in size or time"
    assert predict(bundle, output, other).err == f"hybridseg predict: {output / 'one.nii.gz'}: {found}: skipped\n"


def test_report_counts_the_weights_of_the_maps(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, images = tmp_path / "out", [volume(name) for name in ("one", "two", "three")]
    assert predict(bundle, output, *images[:2]).code == 0
    weights = other_weights(bundle, tmp_path / "other.pt")
    assert predict(bundle, output, *images, "--checkpoint", weights, "--keep-existing").code == 0
    write_volume(output / "unknown.nii.gz", torch.ones(4, 4, 4, dtype=torch.uint8).numpy())
    assert hybridseg("report", output, "-o", tmp_path / "page.html").code == 0
    shown = Page(tmp_path / "page.html").text("dd")
    assert "model.pt (2 of 4 cases), other.pt (1 of 4 cases), not recorded (1 of 4 cases)" in shown


def test_interrupt_says_how_far_it_came(
    bundle: Path, tmp_path: Path, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer = Predictor.infer

    def infer_or_stop(predictor: Predictor, case: Any, progress: Any = None) -> Any:
        if case["case"] == "two":
            raise KeyboardInterrupt
        return infer(predictor, case, progress)

    monkeypatch.setattr(Predictor, "infer", infer_or_stop)
    output, images = tmp_path / "out", [volume(name) for name in ("one", "two", "three")]
    result = predict(bundle, output, *images)
    assert result.code == 130
    line = "interrupted: 1 of 3 written; repeat the command to continue"
    assert result.err.splitlines()[-1] == f"hybridseg predict: {line}"
    assert [case["outcome"] for case in record(output)["cases"] if case["case"] == "one"] == ["written"]
    monkeypatch.undo()
    assert predict(bundle, output, *images).out.startswith(f"2 of 3 cases written to {output}, 1 skipped")


def test_new_label_map_leaves_nothing_of_an_earlier_one(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one, other = tmp_path / "out", volume("one"), other_weights(bundle, tmp_path / "other.pt")
    further = ["--preview", "--probabilities", "--format", "nrrd", "--statistics"]
    assert predict(bundle, output, one, *further).code == 0
    (output / "two.png").touch()  # of no case
    assert predict(bundle, output, one, "--overwrite", "--checkpoint", other).code == 0
    files = sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
    assert files == ["one.nii.gz", "run.json", "two.png"]


def test_format_of_a_removed_label_map_is_written_again(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one, other = tmp_path / "out", volume("one"), other_weights(bundle, tmp_path / "other.pt")
    words: list[str | Path] = [one, "--format", "nrrd"]
    assert predict(bundle, output, *words).code == 0
    earlier = voxels_of(output / "one.nii.gz")
    (output / "one.nii.gz").unlink()
    assert predict(bundle, output, *words, "--checkpoint", other).code == 0
    new = voxels_of(output / "one.nii.gz")
    assert not np.array_equal(new, earlier)
    written = sitk.GetArrayFromImage(sitk.ReadImage(output / "nrrd" / "one.nrrd"))
    np.testing.assert_array_equal(written.T, new)


def test_picture_is_drawn_from_an_existing_label_map(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one = tmp_path / "out", volume("one")
    assert predict(bundle, tmp_path / "expected", one, "--preview").code == 0
    assert predict(bundle, output, one).code == 0
    result = predict(bundle, output, one, "--preview")
    assert (result.code, result.err) == (0, "")
    assert (output / "one.png").read_bytes() == (tmp_path / "expected" / "one.png").read_bytes()


def test_missing_probabilities_of_an_existing_label_map_fail(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, images = tmp_path / "out", [volume("one"), volume("two")]
    assert predict(bundle, output, *images).code == 0
    result = predict(bundle, output, *images, "--probabilities")
    rule = "probabilities are written together with the label map only: use --overwrite"
    assert result.code == 1
    assert result.err == (f"hybridseg predict: {output / 'probabilities' / 'one.nii.gz'} and 1 more: missing: {rule}\n")
    assert predict(bundle, output, *images, "--probabilities", "--overwrite").code == 0
    assert predict(bundle, output, *images, "--probabilities").code == 0


def test_input_that_changed_since_is_named(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one = tmp_path / "out", volume("one")
    assert predict(bundle, output, one).code == 0
    assert predict(bundle, output, one).err == ""
    write_volume(one, np.random.default_rng(1).normal(size=(20, 14, 12)).astype(np.float32))
    os.utime(one, (1e9, 1e9))  # as a copy that keeps the time of an old file
    line = f"hybridseg predict: {output / 'one.nii.gz'}: made before {one} changed: skipped\n"
    for words, code in (([], 0), (["--statistics"], 1), ([], 0)):
        result = predict(bundle, output, one, *words)
        assert result.code == code
        assert result.err.startswith(line)
    assert predict(bundle, output, one, "--overwrite").code == 0
    assert predict(bundle, output, one).err == ""


def act_when_loaded(bundle: Path, folder: Path, key: str, action: str) -> Path:
    """Copy a bundle that evaluates an expression, which may use `os`, when an item of its config is used.

    Args:
        bundle: the bundle.
        folder: parent of the copy.
        key: `preprocessing` acts after each case is read, `network` when the network is made.
        action: the expression.
    """
    copy = shutil.copytree(bundle, folder / bundle.name)
    config_file = copy / "configs" / "inference.json"
    config = json.loads(config_file.read_text())
    config["imports"].append("$import os")
    if key == "preprocessing":
        steps = [config[key], f"$lambda case: ({action}, case)[1]"]
        config[key] = {"_target_": "monai.transforms.Compose", "transforms": steps}
    else:
        config[key] = f"$({action}, {config[key].removeprefix('$')})[1]"
    config_file.write_text(json.dumps(config))
    return copy


def test_input_replaced_while_it_is_segmented_fails(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one, two, new = tmp_path / "out", volume("one"), volume("two"), write_volume(tmp_path / "new.nii.gz")
    replace = f"os.path.exists({str(new)!r}) and os.replace({str(new)!r}, {str(one)!r})"
    acting = act_when_loaded(bundle, tmp_path / "acting", "preprocessing", replace)
    result = predict(acting, output, one, two, "--statistics", "--preview")
    rule = "changed while it was segmented: repeat the command when it is complete"
    assert (result.code, result.err) == (1, f"hybridseg predict: {one}: {rule}\n")
    assert label_maps(output) == ["statistics.csv", "statistics.json", "two.nii.gz", "two.png"]
    assert predict(acting, output, one, two, "--statistics", "--preview").code == 0
    assert predict(acting, output, one, two).err == ""


def test_weights_replaced_while_they_are_loaded_stop_the_run(bundle: Path, tmp_path: Path, volume: Volume) -> None:
    output, one = tmp_path / "out", volume("one")
    weights = Path(shutil.copy(bundle / "models" / "model.pt", tmp_path / "model.pt"))
    new = other_weights(bundle, tmp_path / "new.pt")
    replace = f"os.path.exists({str(new)!r}) and os.replace({str(new)!r}, {str(weights)!r})"
    acting = act_when_loaded(bundle, tmp_path / "acting", "network", replace)
    result = predict(acting, output, one, "--checkpoint", weights)
    assert (result.code, label_maps(output)) == (2, [])
    assert result.err.startswith("hybridseg predict: weights: model.pt ")
    assert result.err.endswith(" when the run began: repeat the command\n")
    assert predict(acting, output, one, "--checkpoint", weights).code == 0
