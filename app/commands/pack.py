"""`hybridseg pack`: pack a bundle into a zip that runs where HybridSeg is not installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hybridseg.bundles import bundle_path

from .command import Command


@dataclass
class Pack(Command):
    """Pack a bundle with the code it needs into a zip that runs with MONAI where HybridSeg is not installed."""

    examples = ("hippocampus_mri_segmentation -o hippocampus.zip", "bundles/liver -o liver.zip")

    bundle: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="BUNDLE")]]
    """Shipped bundle (`hybridseg info` lists them), or the folder of any bundle."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE.zip")]
    """Zip to write; the RUN.md inside explains how to run it."""

    def run(self) -> int:
        """Write the zip.

        Returns:
            0.

        Raises:
            ValueError: the bundle cannot be packed, or the file cannot be written.
        """
        if self.output.suffix.lower() != ".zip":
            raise ValueError(f"output: {self.output}: must end in .zip")
        bundle = bundle_path(self.bundle)
        from hybridseg.app.bundling.packing import pack_bundle

        modules = pack_bundle(bundle, self.output)
        size = self.output.stat().st_size
        record = {"file": str(self.output), "bytes": size, "modules": modules}
        shown = f"{self.output}: {size / 1e6:.1f} MB, with {len(modules)} modules of HybridSeg; see RUN.md inside"
        self.show(record, shown)
        return 0
