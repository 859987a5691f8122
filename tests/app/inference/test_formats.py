"""Label maps are written in the formats wanted; DICOM only for scans and models that it is meant for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from hybridseg.transforms.io import LoadVolumed

from ...transforms.io.dicom.pydicom_files import write_classic
from ..conftest import CommandResult, label_maps, predict, read_volume, voxels_of, write_volume

EVERY = ("nii.gz", "nrrd", "mha", "seg.nrrd", "dicom-seg", "rtstruct", "itk-snap")
FILES = {
    "nrrd": "nrrd/patient.nrrd",
    "mha": "mha/patient.mha",
    "seg.nrrd": "seg.nrrd/patient.seg.nrrd",
    "dicom-seg": "dicom-seg/patient.dcm",
    "rtstruct": "rtstruct/patient.dcm",
}


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MRI of 20 x 20 x 12 voxels as DICOM."""
    voxels = np.random.default_rng(0).integers(0, 200, (20, 20, 12)).astype(np.int16)
    positions = np.array([[0.0, 0, 2.5 * index] for index in range(12)])
    folder = tmp_path_factory.mktemp("dicom") / "patient"
    return write_classic(folder, voxels, modality="MR", positions=positions, orientation=np.eye(3), intercept=0)


@pytest.fixture
def trained_on(bundle: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies the bundle, and says in its metadata what it was trained on."""

    def copy(**training_data: Any) -> Path:
        folder = shutil.copytree(bundle, tmp_path / "bundle")
        path = folder / "configs" / "metadata.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "training_data": training_data}))
        return folder

    return copy


def record_of(output: Path) -> dict[str, Any]:
    (case,) = json.loads((output / "run.json").read_text())["cases"]
    return dict(case)


def written(output: Path) -> set[str]:
    return {name for name, file in FILES.items() if (output / file).is_file()}


def test_every_format_has_the_same_labels(bundle: Path, patient: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="needs the extra `dicom`")
    out = tmp_path / "out"
    result = predict(bundle, out, patient, "--format", *EVERY)
    assert (result.code, result.err) == (0, "")
    assert written(out) == set(FILES)
    labels = voxels_of(out / "patient.nii.gz")
    found = [name for label, name in enumerate(("anterior", "posterior"), 1) if (labels == label).any()]
    assert found
    for name in ("nrrd", "mha", "seg.nrrd"):
        volume = LoadVolumed("label")({"label": str(out / FILES[name])})["label"]
        np.testing.assert_array_equal(volume.numpy()[0], labels)
    contours = pydicom.dcmread(out / FILES["rtstruct"])
    assert [region.ROIName for region in contours.StructureSetROISequence] == found
    segments = pydicom.dcmread(out / FILES["dicom-seg"]).SegmentSequence
    assert [segment.SegmentLabel for segment in segments] == found
    assert '"anterior"' in (out / "itk-snap_labels.txt").read_text()
    assert b"anterior" in read_volume(out / "patient.nii.gz").header.extensions[0].get_content()
    assert record_of(out)["unwritten"] == {}


def test_only_nifti_is_written_unasked(bundle: Path, patient: Path, tmp_path: Path) -> None:
    assert predict(bundle, tmp_path / "out", patient).code == 0
    assert label_maps(tmp_path / "out") == ["patient.nii.gz"]


def test_format_is_made_from_an_existing_label_map(bundle: Path, patient: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(bundle, out, patient).code == 0
    before = (out / "patient.nii.gz").stat().st_mtime_ns
    result = predict(bundle, out, patient, "--format", "rtstruct", "mha")
    assert (result.code, result.err) == (0, "")
    assert (written(out), (out / "patient.nii.gz").stat().st_mtime_ns) == ({"rtstruct", "mha"}, before)
    assert record_of(out)["outcome"] == "written"
    again = pydicom.dcmread(out / FILES["rtstruct"]).SOPInstanceUID
    assert predict(bundle, out, patient, "--format", "rtstruct").code == 0
    assert pydicom.dcmread(out / FILES["rtstruct"]).SOPInstanceUID == again


def test_replaced_label_map_takes_its_other_formats_with_it(bundle: Path, patient: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(bundle, out, patient, "--format", "mha", "rtstruct").code == 0
    assert predict(bundle, out, patient, "--overwrite", "--format", "mha", "--labels", "anterior").code == 0
    assert written(out) == {"mha"}
    volume = LoadVolumed("label")({"label": str(out / FILES["mha"])})["label"]
    np.testing.assert_array_equal(volume.numpy()[0], voxels_of(out / "patient.nii.gz"))


def test_format_that_cannot_be_written_does_not_stop_the_others(bundle: Path, patient: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "rtstruct").touch()
    result = predict(bundle, out, patient, "--format", "rtstruct", "mha")
    assert result.code == 1
    assert result.err.startswith(f"hybridseg predict: {out / 'rtstruct'}")
    assert result.err.count("\n") == 1
    assert written(out) == {"mha"}
    assert record_of(out)["outcome"] == "written"
    assert list(record_of(out)["unwritten"]) == ["rtstruct"]
    (out / "rtstruct").unlink()
    assert predict(bundle, out, patient, "--format", "rtstruct", "mha").code == 0
    assert written(out) == {"rtstruct", "mha"}
    assert record_of(out)["unwritten"] == {}


def test_dicom_of_a_nifti_volume_is_an_error_in_a_line(bundle: Path, tmp_path: Path) -> None:
    image = write_volume(tmp_path / "one.nii.gz")
    result = predict(bundle, tmp_path / "out", image, "--format", "rtstruct")
    path = tmp_path / "out" / "rtstruct" / "one.dcm"
    rule = "only the label map of a DICOM series can be written so"
    assert (result.code, result.err) == (1, f"hybridseg predict: {path}: made from {image}: {rule}\n")
    assert label_maps(tmp_path / "out") == ["one.nii.gz"]


def test_structure_sets_of_an_earlier_run_are_not_cases(bundle: Path, patient: Path, tmp_path: Path) -> None:
    shutil.copytree(patient, tmp_path / "scans" / "patient")
    words = ("--format", "rtstruct")
    for expected in ("1 of 1 cases written", "0 of 1 cases written"):
        result = predict(bundle, tmp_path / "scans" / "labels", tmp_path / "scans", *words)
        assert result.code == 0, result.err
        assert expected in result.out


def lines(result: CommandResult) -> list[str]:
    return result.err.splitlines()


def test_scan_unlike_the_training_data_is_reported(
    trained_on: Callable[..., Path], patient: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    bundle = trained_on(modalities=["CT"], extent_mm=[[100, 200], [10, 30], [25, 30]])
    result = predict(bundle, out, patient, "--format", "rtstruct", "nrrd")
    assert result.code == 1
    different = ["MR instead of CT", "16 mm left-right instead of 100 to 200"]
    assert lines(result) == [
        f"hybridseg predict: patient: outside what the model was trained on: {', '.join(different)}",
        f"hybridseg predict: {out / FILES['rtstruct']}: a scan outside what the model was trained on: "
        "written only with --force-dicom",
    ]
    assert written(out) == {"nrrd"}
    assert record_of(out)["outside"] == different
    forced = predict(bundle, out, patient, "--format", "rtstruct", "nrrd", "--force-dicom")
    assert (forced.code, len(lines(forced))) == (0, 1)
    assert written(out) == {"rtstruct", "nrrd"}


def test_dicom_of_a_model_trained_on_synthetic_data_is_withheld(
    trained_on: Callable[..., Path], patient: Path, tmp_path: Path
) -> None:
    out, bundle = tmp_path / "out", trained_on(synthetic=True, modalities=["MR"])
    result = predict(bundle, out, patient, "--format", "rtstruct")
    assert (result.code, written(out)) == (1, set())
    rule = "written only with --force-dicom"
    of_synthetic = (
        f"hybridseg predict: {bundle.name} was trained on synthetic data: its label maps are no use for real scans"
    )
    withheld = f"hybridseg predict: {out / FILES['rtstruct']}: a model trained on synthetic data: {rule}"
    assert sorted(lines(result)) == sorted([withheld, of_synthetic])
    assert predict(bundle, out, patient, "--format", "rtstruct", "--force-dicom").err == ""
    assert written(out) == {"rtstruct"}


def test_report_lists_scans_unlike_the_training_data(
    trained_on: Callable[..., Path], patient: Path, tmp_path: Path
) -> None:
    from ..conftest import hybridseg
    from ..report_pages import Page

    predict(trained_on(modalities=["CT"]), tmp_path / "out", patient)
    assert hybridseg("report", tmp_path / "out", "-o", tmp_path / "page.html").code == 0
    assert Page(tmp_path / "page.html").rows("outside") == [["patient", "MR instead of CT"]]


def test_no_label_found_is_reported(bundle: Path, patient: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(bundle, out, patient, "--labels", "anterior")
    empty = read_volume(out / "patient.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(empty.shape, np.uint8), None, empty.header), out / "patient.nii.gz")
    result = predict(bundle, out, patient, "--labels", "anterior", "--format", "rtstruct")
    assert (result.code, written(out)) == (0, set())
    assert lines(result) == ["hybridseg predict: patient: no label found, so there is nothing to write as DICOM"]
