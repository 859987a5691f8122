"""`hybridseg view`: look at cases in the browser."""

from __future__ import annotations

import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hybridseg.app.runtime.console import say

from .command import Command

REVIEW = "review.csv"
LAST_PORT = 65535


@dataclass
class View(Command):
    """Look at label maps over their images in the browser: planes and 3D, worst case first, with notes on each case.

    The page is served on this machine only and needs no network; Ctrl-C ends it.
    """

    examples = ("labels --references labelsTs", "ct.nii.gz ct_labels.nii.gz")

    inputs: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="INPUT ...")]]
    """Folder of label maps, such as the output of `hybridseg predict`; or an image, and optionally its label map."""
    references: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None
    """References as for `hybridseg evaluate`: adds their outlines, and Dice."""
    images: Annotated[
        Path | None, tyro.conf.arg(metavar="INPUT", help_behavior_hint="(default: images in run.json)")
    ] = None
    """Images of the label maps in a folder, as given to `hybridseg predict`."""
    bundle: Annotated[
        str | None, tyro.conf.arg(metavar="NAME|FOLDER", help_behavior_hint="(default: bundle in run.json)")
    ] = None
    """Bundle that names and colours the labels."""
    notes: Annotated[
        Path | None, tyro.conf.arg(metavar="FILE.csv", help_behavior_hint=f"(default: {REVIEW} beside the label maps)")
    ] = None
    """File for what you note of each case: accepted or rejected, and why."""
    port: Annotated[int, tyro.conf.arg(metavar="N", help_behavior_hint="(default: a free one)")] = 0
    """Port of the page on 127.0.0.1."""
    no_browser: bool = False
    """Print the address only, without opening a browser."""

    def run(self) -> int:
        """Serve the page until Ctrl-C.

        Returns:
            0.

        Raises:
            ValueError: an option is invalid, a path does not exist or holds no cases, a package is missing, or the port
                is taken.
        """
        if not self.inputs:
            raise ValueError("inputs: none: must be a folder of label maps, or an image")
        if not 0 <= self.port <= LAST_PORT:
            raise ValueError(f"port: {self.port}: must be from 1 to {LAST_PORT}, or 0 for a free one")
        from hybridseg.transforms.io.names import check_exists

        check_exists(self.inputs[0])
        from hybridseg.app.viewing.niivue import niivue_script

        niivue_script()
        from hybridseg.app.viewing import ReviewNotes, ViewServer, open_cases

        viewing = open_cases(self.inputs, references=self.references, images=self.images, bundle=self.bundle)
        last = self.inputs[-1]
        holds_maps = last.is_dir() and viewing.cases[0].prediction is not None  # not the folder of a DICOM series
        notes = ReviewNotes(self.notes or (last if holds_maps else last.parent) / REVIEW)
        try:
            server = ViewServer(viewing, notes, self.port)
        except OSError as error:
            raise ValueError(f"port: {self.port}: {error.strerror}: must be a free port") from error
        with server:
            count = f"{len(viewing.cases)} case{'s' if len(viewing.cases) > 1 else ''}"
            record = {"url": server.url, "cases": len(viewing.cases), "notes": str(notes.path)}
            self.show(record, f"{count} at {server.url} (Ctrl-C ends it)")
            sys.stdout.flush()
            if not self.no_browser:
                webbrowser.open(server.url)
            try:
                server.serve_forever(poll_interval=0.2)
            except KeyboardInterrupt:
                say("view", "ended")
        return 0
