"""A header gives the bytes that its volume needs and has, before any voxel is read."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from hybridseg.transforms import VolumeError
from hybridseg.transforms.io.load import read_header

from .volume_files import AFFINE, VOXELS, change_header, load, write_itk, write_nifti


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
def test_tiny_file_claiming_a_huge_volume_allocates_nothing(tmp_path: Path, name: str) -> None:
    if name.startswith("a.nii"):
        path = change_header(write_nifti(tmp_path / "a.nii"), dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])
        if name == "a.nii.gz":
            (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))
    else:
        path = write_itk(tmp_path / name, VOXELS, AFFINE)
        path.write_bytes(path.read_bytes().replace(b"7 6 5", b"32767 32767 32767"))
    tracemalloc.start()
    with pytest.raises(VolumeError, match=r"shape \(32767, 32767, 32767\) of .* is 70362301923326 bytes, at most"):
        load(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_complete_volume_is_within_its_capacity(tmp_path: Path) -> None:
    for path in (
        write_nifti(tmp_path / "a.nii"),
        write_nifti(tmp_path / "a.nii.gz"),
        write_itk(tmp_path / "a.mha", VOXELS, AFFINE),
    ):
        header = read_header(path)
        assert header.voxel_bytes == VOXELS.nbytes
        assert header.capacity is not None
        assert header.capacity >= header.voxel_bytes
