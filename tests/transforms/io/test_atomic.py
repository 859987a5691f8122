"""Files are complete or absent."""

from pathlib import Path

import pytest

from hybridseg.transforms.io.atomic import replacing, write_csv


def test_file_appears_complete_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("complete")
        assert not path.exists()
    assert path.read_text() == "complete"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError, SystemExit])
def test_interruption_leaves_only_the_old_file(tmp_path: Path, interruption: type[BaseException]) -> None:
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


def test_temporary_name_is_hidden_and_keeps_the_ending(tmp_path: Path) -> None:
    with replacing(tmp_path / f"{'long' * 60}.nii.gz", suffix=".nii.gz") as temporary:
        temporary.write_text("")
        assert temporary.name.startswith(".")
        assert temporary.name.endswith(".part.nii.gz")
        assert len(temporary.name) < 60


def test_csv_has_a_header_and_one_line_per_row(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.csv"
    write_csv(path, ["case", "dice"], [{"case": "a,1", "dice": 0.5}, {"case": "é"}])
    assert path.read_bytes() == 'case,dice\n"a,1",0.5\né,\n'.encode()
    assert list(path.parent.iterdir()) == [path]


def test_csv_escapes_names_that_are_not_unicode(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_csv(path, ["case"], [{"case": "a\udcff"}])
    assert path.read_text(encoding="utf-8") == "case\na\\udcff\n"


def test_csv_with_an_unknown_column_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")
    with pytest.raises(ValueError, match="dice"):
        write_csv(path, ["case"], [{"case": "a"}, {"case": "b", "dice": 1}])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
