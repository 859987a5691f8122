"""Other programs find labels, names and colours in their own formats."""

from __future__ import annotations

import shlex
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from hybridseg.transforms import VolumeError, write_labels
from hybridseg.transforms.io import LoadVolumed
from hybridseg.transforms.io.label_formats import write_itk_labels, write_itk_snap_labels
from hybridseg.transforms.structures import describe_structures

NAMES = {1: "liver", 2: "kidney_left", 7: 'a ]]> <b> & |^~ "c" 肝臓'}
STRUCTURES = describe_structures(NAMES)
LABELS = np.random.default_rng(0).choice([0, 1, 2, 7], (5, 6, 7)).astype(np.uint8)
AFFINE = np.array([[0, -2.0, 0, 10], [1.5, 0, 0, -20], [0, 0, 3.0, 30], [0, 0, 0, 1]])


@pytest.mark.parametrize("extension", [".nrrd", ".mha", ".seg.nrrd"])
@pytest.mark.parametrize("largest", [7, 300])
def test_labels_are_read_back_in_place(extension: str, largest: int, tmp_path: Path) -> None:
    labels = np.where(LABELS == 7, largest, LABELS).astype(np.uint16 if largest > 255 else np.uint8)
    path = tmp_path / "deep" / f"case{extension}"
    write_itk_labels(labels, path, AFFINE, STRUCTURES)
    volume = LoadVolumed("label")({"label": str(path)})["label"]
    np.testing.assert_array_equal(volume.numpy()[0], labels)
    np.testing.assert_allclose(volume.affine.numpy(), AFFINE, atol=1e-9)
    assert sitk.ReadImage(path).GetPixelID() == (sitk.sitkUInt16 if largest > 255 else sitk.sitkUInt8)


def test_slicer_finds_names_colours_and_codes(tmp_path: Path) -> None:
    write_itk_labels(LABELS, tmp_path / "case.seg.nrrd", AFFINE, STRUCTURES)
    image = sitk.ReadImage(tmp_path / "case.seg.nrrd")
    fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    for index, structure in enumerate(STRUCTURES):
        assert fields[f"Segment{index}_Name"] == structure.name
        assert fields[f"Segment{index}_LabelValue"] == str(structure.label)
        colour = [255 * float(part) for part in fields[f"Segment{index}_Color"].split()]
        np.testing.assert_allclose(colour, structure.rgb, atol=0.01)
        category, kind, modifier = fields[f"Segment{index}_Tags"].split("~")[1:4]
        assert category.count("^") == kind.count("^") == modifier.count("^") == 2
    assert fields["Segment1_Tags"].split("~")[2:4] == ["SCT^64033007^Kidney", "SCT^7771000^Left"]
    assert fields["Segmentation_ContainedRepresentationNames"] == "Binary labelmap|"


def test_nifti_names_the_labels_as_totalsegmentator_does(tmp_path: Path) -> None:
    plain, named = tmp_path / "plain.nii.gz", tmp_path / "named.nii.gz"
    write_labels(LABELS, plain, affine=AFFINE)
    write_labels(LABELS, named, affine=AFFINE, structures=STRUCTURES)
    image = nib.load(named)
    np.testing.assert_array_equal(np.asarray(image.dataobj), LABELS)
    geometry = ("pixdim", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "xyzt_units")
    for field in geometry:
        np.testing.assert_array_equal(image.header[field], nib.load(plain).header[field])
    (extension,) = image.header.extensions
    assert (extension.get_code(), extension.get_sizeondisk() % 16) == (0, 0)
    table = ElementTree.fromstring(extension.get_content()).find("VolumeInformation/LabelTable")
    assert table is not None
    assert {int(row.attrib["Key"]): row.text for row in table} == NAMES
    assert [round(255 * float(row.attrib["Red"])) for row in table] == [structure.rgb[0] for structure in STRUCTURES]
    np.testing.assert_array_equal(LoadVolumed("label")({"label": str(named)})["label"].numpy()[0], LABELS)
    assert not nib.load(plain).header.extensions


def test_itk_snap_reads_numbers_colours_and_names(tmp_path: Path) -> None:
    write_itk_snap_labels(tmp_path / "labels.txt", STRUCTURES)
    lines = [line for line in (tmp_path / "labels.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    rows = [shlex.split(line) for line in lines]
    assert rows[0] == ["0", "0", "0", "0", "0", "0", "0", "Clear Label"]
    assert [(int(row[0]), tuple(map(int, row[1:4]))) for row in rows[1:]] == [(s.label, s.rgb) for s in STRUCTURES]
    assert rows[3][7] == NAMES[7].replace('"', "'")


@pytest.mark.parametrize("extension", [".nrrd", ".mha"])
def test_sheared_affine_is_kept(extension: str, tmp_path: Path) -> None:
    sheared = AFFINE.copy()
    sheared[0, 2] = 2.0
    write_itk_labels(LABELS, tmp_path / f"case{extension}", sheared, STRUCTURES)
    volume = LoadVolumed("label")({"label": str(tmp_path / f"case{extension}")})["label"]
    np.testing.assert_allclose(volume.affine.numpy(), sheared, atol=1e-9)


def test_other_extension_and_unwritable_path_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path: .*case\.img: must end in \.seg\.nrrd, \.nrrd, \.mha"):
        write_itk_labels(LABELS, tmp_path / "case.img", AFFINE, STRUCTURES)
    (tmp_path / "folder.nrrd").mkdir()
    with pytest.raises(VolumeError, match=r"folder\.nrrd: .*: the label map must be writable there"):
        write_itk_labels(LABELS, tmp_path / "folder.nrrd", AFFINE, STRUCTURES)
