"""`hybridseg report`: a cohort of label maps, or a training, on one page for a browser."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Annotated

import tyro

from .command import Command, check_at_least, make_folder


@dataclass
class Report(Command):
    """Write one HTML page on label maps, with scores and pictures, worst case first, or on a training, or on both.

    The page needs no other file and no network.
    """

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.html")]
    """The page."""
    predictions: tyro.conf.Positional[
        Annotated[Path | None, tyro.conf.arg(metavar="[PREDICTIONS]", help_behavior_hint="")]
    ] = None
    """Folder of label maps, such as `hybridseg predict` writes it, or one of them."""
    references: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of label maps taken for true, by the same names: scores, and outlines in the pictures."""
    scores: Annotated[
        Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: PREDICTIONS, where they are there)")
    ] = None
    """Folder that `hybridseg evaluate -o` wrote, whose scores are taken instead of measuring."""
    images: Annotated[
        Path | None, tyro.conf.arg(metavar="INPUT", help_behavior_hint="(default: those that run.json names)")
    ] = None
    """What the label maps were predicted of, as for `hybridseg predict`: a picture of each case."""
    bundle: Annotated[
        str | None, tyro.conf.arg(metavar="NAME|FOLDER", help_behavior_hint="(default: that of run.json)")
    ] = None
    """Bundle whose names for labels, or regions of labels, are used."""
    run_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of a training, whose curves are drawn."""
    cases: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """Cases to draw at most, the worst ones."""
    tolerance: Annotated[
        float | None, tyro.conf.arg(metavar="MM", help_behavior_hint="(default: that of the scores taken, or 1)")
    ] = None
    """Distance in mm up to which surfaces agree, for the surface Dice."""
    resample: bool = False
    """Take label maps on another grid than their reference or image, put onto it by nearest neighbour."""
    title: Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="(default: what it is about)")] = None
    """Heading of the page."""

    def run(self) -> int:
        """Write the page.

        Returns:
            0, or 1 when some cases could not be measured or drawn; the page tells which.

        Raises:
            ValueError: an option or a folder cannot be used.
        """
        self.check()
        from hybridseg.app.reporting.contents import describe_cohort, describe_training
        from hybridseg.app.reporting.page import Contents, page
        from hybridseg.transforms.io.atomic import replacing

        contents, failed = Contents(), False
        if self.run_dir is not None:
            contents = describe_training(self.run_dir)
        if self.predictions is not None:
            contents, failed = describe_cohort(
                self.predictions,
                contents,
                references=self.references,
                scores=self.scores,
                images=self.images,
                bundle=self.bundle,
                tolerance=self.tolerance,
                resample=self.resample,
                cases=self.cases,
                debug=self.debug,
            )
        about = self.predictions or self.run_dir
        title = self.title or f"Segmentation report: {about.resolve().name if about else ''}"
        with replacing(self.output) as temporary:
            temporary.write_text(page(replace(contents, title=title)), encoding="utf-8")
        print(f"report written to {self.output}")
        return int(failed)

    def check(self) -> None:
        """Refuse what can be seen to be wrong before anything is computed.

        Raises:
            ValueError: an option cannot be used.
        """
        if self.tolerance is not None and not 0 < self.tolerance < inf:
            raise ValueError(f"tolerance: {self.tolerance}: must be a length above 0 mm")
        check_at_least(0, cases=self.cases)
        if self.predictions is None and self.run_dir is None:
            raise ValueError("predictions: none: must be given, or --run-dir, or both")
        for name in ("references", "scores", "images", "bundle"):
            if self.predictions is None and getattr(self, name) is not None:
                raise ValueError(f"{name}: {getattr(self, name)}: must be given beside PREDICTIONS")
        if self.output.suffix.lower() not in (".html", ".htm") or self.output.is_dir():
            raise ValueError(f"output: {self.output}: must be a file whose name ends in .html")
        make_folder(self.output.parent)
