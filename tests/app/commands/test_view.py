"""`hybridseg view` serves until Ctrl-C and ends with one line; the report writes the same as a folder."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ..conftest import hybridseg

INTERRUPTIBLE = """
import signal, sys
from hybridseg.app.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
sys.exit(main())
"""


@pytest.mark.slow
def test_view_serves_until_ctrl_c(cohort: Path) -> None:
    words = ["view", cohort / "labels", "--images", cohort / "images", "--no-browser", "--json"]
    command = [sys.executable, "-c", INTERRUPTIBLE, *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            printed = ""
            while not printed.endswith("}\n") and (line := process.stdout.readline()):
                printed += line
            record = json.loads(printed)
            with urllib.request.urlopen(f"{record['url']}cases", timeout=30) as answer:
                assert {case["name"] for case in json.load(answer)["cases"]} == {"good", "bad"}
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "hybridseg view: ended\n")
    assert list(record) == ["url", "cases", "notes"]
    assert record["notes"] == str(cohort / "labels" / "review.csv")


def test_report_writes_a_viewer_and_replaces_it(cohort: Path) -> None:
    viewer = cohort / "viewer"
    given = ("--references", cohort / "truth", "--images", cohort / "images", "--cases", "1")
    for _ in range(2):
        result = hybridseg("report", cohort / "labels", "-o", cohort / "page.html", "--viewer", viewer, *given)
        assert result.code == 0
        assert result.out == f"report written to {cohort / 'page.html'}, viewer to {viewer / 'index.html'}\n"
    assert sorted(path.name for path in viewer.iterdir()) == [
        "cases",
        "index.html",
        "niivue.js",
        "overview.js",
        "viewer.css",
        "viewer.js",
    ]
    assert [path.name for path in (viewer / "cases").iterdir()] == ["0.js"]
    assert '"name": "bad"' in (viewer / "overview.js").read_text()
    assert str(cohort) not in "".join(path.read_text() for path in viewer.rglob("*.js"))


def test_a_port_that_is_taken_is_one_line(cohort: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = hybridseg("view", cohort / "labels", "--no-browser", "--port", str(port))
    assert result.code == 2
    assert result.err == f"hybridseg view: port: {port}: Address already in use: must be a free port\n"


@pytest.mark.parametrize("folder", ["images", "labels/bad.nii.gz"])
def test_viewer_replaces_no_other_files(cohort: Path, folder: str) -> None:
    result = hybridseg("report", cohort / "labels", "-o", cohort / "page.html", "--viewer", cohort / folder)
    assert result.code == 2
    assert "must be a new or empty folder, or an earlier viewer" in result.err
    assert (cohort / "images" / "bad.nii.gz").is_file()
