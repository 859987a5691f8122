"""The server of the viewer answers its own page only, reads no path of a URL, and writes nothing but notes."""

from __future__ import annotations

import csv
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from hybridseg.app.viewing import ReviewNotes, ViewServer, open_cases

from ..conftest import voxels_of


@pytest.fixture
def server(cohort: Path) -> Iterator[ViewServer]:
    """A server of the cohort."""
    viewing = open_cases([cohort / "labels"], references=cohort / "truth", images=cohort / "images")
    with ViewServer(viewing, ReviewNotes(cohort / "review.csv")) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(
    server: ViewServer,
    place: str,
    *,
    method: str = "GET",
    token: str | None = None,
    body: str | None = None,
    **headers: str,
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Send a request; return status, content and headers of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    path = f"/{server.token if token is None else token}/{place}"
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def ask_json(server: ViewServer, place: str) -> Any:
    """Return what the server answers as JSON."""
    status, content, _ = ask(server, place)
    assert status == 200
    return json.loads(content)


def note(server: ViewServer, case: int, body: object, kind: str = "application/json") -> int:
    """Send a note; return the status."""
    return ask(server, f"cases/{case}/note", method="POST", body=json.dumps(body), Content_Type=kind)[0]


def test_page_loads_from_its_own_server_only(server: ViewServer) -> None:
    status, content, headers = ask(server, "")
    assert status == 200
    assert b"<canvas" in content
    assert b"http" not in content
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert (headers["Referrer-Policy"], headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert [ask(server, file)[0] for file in ("viewer.js", "viewer.css", "niivue.js")] == [200, 200, 200]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example:{port}"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "localhost:{port}"}, 200),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
    ],
)
def test_foreign_hosts_and_origins_are_refused(server: ViewServer, headers: dict[str, str], status: int) -> None:
    given = {name: value.format(port=server.server_port) for name, value in headers.items()}
    assert ask(server, "cases", **given)[0] == status


@pytest.mark.parametrize("token", ["", "wrong", "%C3%A9", "."])
def test_nothing_is_shown_without_the_token(server: ViewServer, token: str) -> None:
    assert ask(server, "cases", token=token)[:2] == (404, b"404 Not Found\n")
    assert ask(server, "cases/0/note", token=token, method="POST", body="{}")[0] == 404


@pytest.mark.parametrize(
    "place",
    [
        "../review.csv",
        "cases/../../labels/good.nii.gz",
        "/etc/passwd",
        "%2e%2e/server.py",
        "server.py",
        "viewer.js/..",
        "cases/2",
        "cases/-1",
        "cases/0/other",
        "cases/0/note",
        "cases/0/image-5",
        "cases/0/image-7.nii",
    ],
)
def test_urls_lead_to_no_files(server: ViewServer, place: str) -> None:
    assert ask(server, place)[0] == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(server: ViewServer, method: str) -> None:
    assert ask(server, "cases", method=method)[0] == 501


def test_case_has_its_labels_and_volumes(server: ViewServer, cohort: Path) -> None:
    names = [case["name"] for case in ask_json(server, "cases")["cases"]]
    details = ask_json(server, f"cases/{names.index('bad')}")
    assert details["layers"] == ["image", "prediction", "reference"]
    first, second = details["labels"]
    assert (first["name"], first["dice"], second["dice"]) == ("label 1", 0.8, 0.0)
    assert second["volumes"] == {"prediction": 0.0, "reference": 3.6}
    image = nib.Nifti1Image.from_bytes(ask(server, f"cases/{names.index('bad')}/image-0")[1])
    assert np.array_equal(image.get_fdata(dtype=np.float32), voxels_of(cohort / "images" / "bad.nii.gz"))
    labels = nib.Nifti1Image.from_bytes(ask(server, f"cases/{names.index('bad')}/reference")[1])
    assert np.array_equal(np.asarray(labels.dataobj), voxels_of(cohort / "truth" / "bad.nii.gz"))
    assert labels.header.get_intent()[0] == "label"


def test_broken_file_is_one_line_and_others_are_shown(server: ViewServer, cohort: Path) -> None:
    names = [case["name"] for case in ask_json(server, "cases")["cases"]]
    (cohort / "labels" / "bad.nii.gz").write_bytes(b"nothing")
    status, content, _ = ask(server, f"cases/{names.index('bad')}")
    assert status == 422
    assert json.loads(content)["error"].startswith(str(cohort / "labels" / "bad.nii.gz"))
    assert ask(server, f"cases/{names.index('good')}")[0] == 200


def test_notes_are_saved_as_csv_without_formulas(server: ViewServer, cohort: Path) -> None:
    text = '=HYPERLINK("http://evil.example"), "quoted"\nand a line'
    assert note(server, 0, {"verdict": "rejected", "note": text}) == 200
    assert note(server, 1, {"verdict": "accepted", "note": ""}) == 200
    with (cohort / "review.csv").open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    names = [case["name"] for case in ask_json(server, "cases")["cases"]]
    assert rows[names[0]]["note"] == f"'{text}"
    assert ReviewNotes(cohort / "review.csv").rows[names[0]]["note"] == text
    assert [case["verdict"] for case in ask_json(server, "cases")["cases"]] == ["rejected", "accepted"]
    assert note(server, 1, {"verdict": "", "note": ""}) == 200
    assert list(ReviewNotes(cohort / "review.csv").rows) == [names[0]]


def test_bad_notes_are_refused(server: ViewServer, cohort: Path) -> None:
    good = {"verdict": "accepted", "note": ""}
    assert note(server, 0, good, kind="text/plain") == 400  # what a form of another site can send
    assert note(server, 9, good) == 404
    for body in ("[]", "{}", "no JSON", '{"verdict": "maybe", "note": ""}'):
        sent = ask(server, "cases/0/note", method="POST", body=body, Content_Type="application/json")
        assert sent[0] == 400
    assert note(server, 0, {**good, "note": "x" * 2001}) == 400
    assert note(server, 0, {**good, "note": "x" * 30_000}) == 413
    assert not (cohort / "review.csv").exists()
