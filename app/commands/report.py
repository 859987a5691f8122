"""`hybridseg report`: one HTML page on a cohort of label maps, or on a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from hybridseg.app.runtime.options import check_at_least, check_positive

from .command import VolumeCommand, make_folder


@dataclass
class Report(VolumeCommand):
    """Write an HTML report on label maps (scores and pictures, worst case first), on a training, or on both.

    The page is a single file and needs no network.
    """

    examples = ("labels -o report.html --references labelsTs", "-o training.html --run-dir runs/liver")

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.html")]
    """File to write the page to."""
    predictions: tyro.conf.Positional[
        Annotated[Path | None, tyro.conf.arg(metavar="[PREDICTIONS]", help_behavior_hint="")]
    ] = None
    """Folder of label maps, such as the output of `hybridseg predict`, or one label map."""
    references: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None
    """References as for `hybridseg evaluate`, with the ROIs of the bundle: adds scores, and outlines in pictures."""
    scores: Annotated[
        Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: PREDICTIONS, if it has scores)")
    ] = None
    """Folder written by `hybridseg evaluate -o`; its scores are used instead of measuring again."""
    images: Annotated[
        Path | None, tyro.conf.arg(metavar="INPUT", help_behavior_hint="(default: images in run.json)")
    ] = None
    """Images that the label maps were predicted from, as given to `hybridseg predict`: adds pictures of the cases."""
    bundle: Annotated[
        str | None, tyro.conf.arg(metavar="NAME|FOLDER", help_behavior_hint="(default: bundle in run.json)")
    ] = None
    """Bundle whose label names or regions are used."""
    run_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Run folder of a training: adds its curves."""
    viewer: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder to write a viewer to, as of `hybridseg view`: its `index.html` opens from a disk or any web server."""
    cases: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """Largest number of cases with pictures, and in the viewer, worst first."""
    tolerance: Annotated[
        float | None, tyro.conf.arg(metavar="MM", help_behavior_hint="(default: tolerance of existing scores, or 1)")
    ] = None
    """Tolerance of the surface Dice, in mm."""
    resample: bool = False
    """Resample label maps on another grid to that of their reference or image, by nearest neighbour."""
    title: Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="(default: name of folder)")] = None
    """Heading of the page."""

    def process(self) -> int:
        """Write the page.

        Returns:
            0, or 1 if some cases could not be measured or drawn; the page lists them.

        Raises:
            ValueError: an option is invalid, or a folder is missing or does not match the others.
        """
        self.check()
        from hybridseg.transforms.io.names import check_exists

        for path in (self.predictions, self.references, self.images):
            if path is not None:
                check_exists(path)
        from hybridseg.app.reporting import Contents, describe_cohort, describe_training, render_page
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
        subject = self.predictions or self.run_dir
        title = self.title or f"Segmentation report: {subject.resolve().name if subject else ''}"
        with replacing(self.output) as temporary:
            temporary.write_text(render_page(replace(contents, title=title)), encoding="utf-8")
        text = f"report written to {self.output}"
        if self.viewer is not None and self.predictions is not None:
            failed |= self.write_viewer(self.predictions, self.viewer, order=contents.order)
            text += f", viewer to {self.viewer / 'index.html'}"
        self.show({"file": str(self.output)}, text)
        return int(failed)

    def write_viewer(self, predictions: Path, folder: Path, order: Sequence[str]) -> bool:
        """Write the viewer of the worst cases to a folder.

        Args:
            predictions: the label maps.
            folder: the folder to write.
            order: the cases of the report, worst first.

        Returns:
            Whether a case could not be read.

        Raises:
            ValueError: the cases do not match.
            OSError: a file cannot be written.
        """
        from hybridseg.app.viewing import open_cases, write_viewer

        viewing = open_cases([predictions], references=self.references, images=self.images, bundle=self.bundle)
        place = {name: index for index, name in enumerate(order)}
        cases = sorted(viewing.cases, key=lambda case: place.get(case.name, len(place)))[: self.cases]
        return write_viewer(replace(viewing, cases=cases), folder, debug=self.debug)

    def check(self) -> None:
        """Check the options before anything is computed.

        Raises:
            ValueError: an option is invalid.
        """
        check_positive(tolerance=self.tolerance)
        check_at_least(0, cases=self.cases)
        if self.predictions is None and self.run_dir is None:
            raise ValueError("predictions: none: must be given, or --run-dir, or both")
        for name in ("references", "scores", "images", "bundle"):
            if self.predictions is None and getattr(self, name) is not None:
                raise ValueError(f"{name}: {getattr(self, name)}: must be given with PREDICTIONS")
        if self.output.suffix.lower() not in (".html", ".htm") or self.output.is_dir():
            raise ValueError(f"output: {self.output}: must be a file whose name ends in .html")
        make_folder(self.output.parent)
        if self.viewer is not None:
            if self.predictions is None:
                raise ValueError(f"viewer: {self.viewer}: must be given with PREDICTIONS")
            from hybridseg.app.viewing import check_viewer_folder, niivue_script

            niivue_script()
            check_viewer_folder(self.viewer)
