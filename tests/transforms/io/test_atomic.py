"""Files are complete or absent, and no two writes share a temporary file."""

from __future__ import annotations

import csv
import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from hybridseg.transforms.io import atomic
from hybridseg.transforms.io.atomic import (
    FOREIGN_SECONDS,
    replacing,
    replacing_folder,
    temporary_path,
    this_machine,
    write_csv,
    write_texts,
)

from ...kills import FORK, kill_often

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def hold(path: Path, parent: Connection) -> None:
    """Write half a file and wait."""
    with replacing(path) as temporary:
        temporary.write_text("half")
        parent.send(temporary.name)
        parent.recv()


def write_often(path: Path, letter: str) -> None:
    """Write a file of one letter, many times."""
    for _ in range(200):
        with replacing(path) as temporary, temporary.open("w") as file:
            for _ in range(50):
                file.write(letter * 2000)


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


def test_two_writes_of_one_file_do_not_share_a_name(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_two_processes_may_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    processes = [FORK.Process(target=write_often, args=(path, letter), daemon=True) for letter in "ab"]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        if path.exists():
            assert path.read_text() in ("a" * 100_000, "b" * 100_000)
    assert [process.exitcode for process in processes] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]


def test_next_write_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    processes, names, pipes = [], [], []
    for name in ("a.txt", "b.txt"):
        parent, child = FORK.Pipe()
        processes.append(FORK.Process(target=hold, args=(tmp_path / name, child), daemon=True))
        processes[-1].start()
        names.append(parent.recv())
        pipes.append(parent)
    killed, living = processes
    killed.kill()
    killed.join()
    assert {entry.name for entry in tmp_path.iterdir()} == set(names)
    with replacing(tmp_path / "c.txt") as temporary:
        temporary.write_text("")
    assert {entry.name for entry in tmp_path.iterdir()} == {"c.txt", names[1]}
    pipes[1].send("finish")
    living.join()
    assert {entry.name for entry in tmp_path.iterdir()} == {"b.txt", "c.txt"}


def write_folder(path: Path, letter: str, names: Iterable[str] = "ab") -> None:
    """Write a folder with files of one letter."""
    with replacing_folder(path) as temporary:
        for name in names:
            (temporary / name).write_text(letter)


def replace_often(path: Path) -> None:
    """Replace a folder again and again."""
    for letter in itertools.cycle("xy"):
        write_folder(path, letter)


def content(folder: Path) -> dict[str, str]:
    """Return the content of each file of a folder."""
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("can_exchange", [True, False])
def test_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool) -> None:
    if not can_exchange:  # as on a network file system
        monkeypatch.setattr(atomic, "exchange", lambda first, second: False)
    path = tmp_path / "new" / "folder"
    write_folder(path, "x", "abc")
    write_folder(path, "y")
    assert content(path) == {"a": "y", "b": "y"}
    assert list(path.parent.iterdir()) == [path]


def test_earlier_folder_is_back_if_the_second_rename_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder"
    write_folder(path, "x")
    names = []

    def exchange(first: Path, second: Path) -> bool:
        """Remove the new folder, so that it cannot be renamed."""
        names.append(first.name)
        shutil.rmtree(first)
        return False

    monkeypatch.setattr(atomic, "exchange", exchange)
    with pytest.raises(FileNotFoundError, match=rf"'{path}'"):
        write_folder(path, "y")
    assert len(names) == 1
    assert content(path) == {"a": "x", "b": "x"}
    assert list(tmp_path.iterdir()) == [path]


def kill_between_renames(path: Path) -> None:
    """Replace a folder in two steps; die when the earlier one is moved and the new one is not."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and arguments[1] == str(path):
            os._exit(9)

    sys.addaudithook(watch)
    write_folder(path, "y")


def test_kill_between_two_renames_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "exchange", lambda first, second: False)
    path = tmp_path / "folder"
    write_folder(path, "x")
    process = FORK.Process(target=kill_between_renames, args=(path,), daemon=True)
    process.start()
    process.join()
    assert process.exitcode == 9
    atomic.remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / ".folder.old"]
    assert content(tmp_path / ".folder.old") == {"a": "x", "b": "x"}
    write_folder(path, "z")
    assert content(path) == {"a": "z", "b": "z"}
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_the_old_folder_and_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_folder(path, "x")
    with pytest.raises(OSError, match=rf"No such file or directory: '{path / 'c' / 'd'}'"):
        write_folder(path, "y", ["a", "c/d"])
    assert content(path) == {"a": "x", "b": "x"}
    assert list(tmp_path.iterdir()) == [path]


def test_killed_process_leaves_one_of_two_folders_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    write_folder(path, "x")
    for _ in kill_often(replace_often, path, times=20, seconds=0.05):
        assert content(path) in ({"a": "x", "b": "x"}, {"a": "y", "b": "y"})
    atomic.remove_abandoned(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_number_of_a_dead_process_may_be_taken_again(tmp_path: Path) -> None:
    """The start of the process tells the two apart."""
    machine, process, started, rest = temporary_path(tmp_path).name.split("-")
    left = tmp_path / f"{machine}-{process}-{int(started, 16) - 3600:x}-{rest}"
    own = temporary_path(tmp_path)
    left.touch()
    own.touch()
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("")
    assert not left.exists()
    assert own.exists()


def test_file_of_another_machine_is_removed_after_a_day(tmp_path: Path) -> None:
    other = f"{int(this_machine(), 16) ^ 1:08x}"
    new, old = (tmp_path / f".{other}-1-5f5e100-0000000{number}.part.nii.gz" for number in (1, 2))
    new.touch()
    old.touch()
    long_ago = time.time() - FOREIGN_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("")
    assert new.exists()
    assert not old.exists()


def test_csv_escapes_what_a_spreadsheet_would_run(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    names = ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "'=1", "'liver'", "left-kidney"]
    write_csv(path, ["case", "error"], [{"case": name, "error": -1.5} for name in names])
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == [*(f"'{name}" for name in names[:7]), *names[7:]]
    assert {row["error"] for row in rows} == {"-1.5"}


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


def test_files_that_belong_together_are_written_all_or_none(tmp_path: Path) -> None:
    main, other = tmp_path / "summary.json", tmp_path / "scores.json"
    write_texts({main: "old", other: "old"})
    with pytest.raises(OSError, match=r"scores\.json"):
        write_texts({main: "new", other: "new", other / "bad": "new"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {main.name: "old", other.name: "old"}
