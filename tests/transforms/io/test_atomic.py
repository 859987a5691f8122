"""Files are whole or absent."""

from pathlib import Path

import pytest

from hybridseg.transforms.io.atomic import replacing


def test_file_appears_whole_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError, SystemExit])
def test_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path, interruption: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise interruption

    with pytest.raises(interruption):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_name_is_hidden_short_and_keeps_the_ending(tmp_path: Path) -> None:
    with replacing(tmp_path / f"{'long' * 60}.nii.gz", suffix=".nii.gz") as temporary:
        temporary.write_text("")
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(".part.nii.gz")
        assert len(temporary.name) < 60
