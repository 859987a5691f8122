"""`hybridseg export`: write a bundle's network to a file that other programs run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from hybridseg.app.runtime.options import check_positive
from hybridseg.bundles import bundle_path

from .command import BUNDLE_DEFAULT, Command

Format = Literal["onnx", "torchscript", "exported-program"]
EXTENSIONS: Mapping[Format, str] = {"onnx": ".onnx", "torchscript": ".ts", "exported-program": ".pt2"}
"""The file name extension of each format."""


@dataclass
class Export(Command):
    """Export a bundle's network to ONNX, TorchScript or torch.export, and check the file against the network.

    The file takes windows of one fixed size, in batches of any size. Preprocessing, sliding windows and resampling
    back are not part of it: the calling program has to do them as the bundle's inference.json does.
    """

    examples = (
        "hippocampus_mri_segmentation -o hippocampus.onnx",
        "bundles/liver -o liver.ts --checkpoint runs/liver/model.pt",
    )

    bundle: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="BUNDLE")]]
    """Shipped bundle (`hybridseg info` lists them), or the folder of any bundle."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")]
    """File to write."""
    format: Annotated[Format | None, tyro.conf.arg(metavar="FORMAT", help_behavior_hint="")] = None
    """onnx, torchscript or exported-program; by default taken from the extension: .onnx, .ts or .pt2 (torch.export)."""
    checkpoint: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Weights to export, such as the model.pt of a training."""
    size: Annotated[tuple[int, int, int] | None, tyro.conf.arg(metavar="N N N", help_behavior_hint=BUNDLE_DEFAULT)] = (
        None
    )
    """Size of the window in voxels."""

    def run(self) -> int:
        """Export and check.

        Returns:
            0.

        Raises:
            ValueError: an option, the bundle or its weights cannot be used, a package is missing, or the file gives
                other logits than the network.
        """
        check_positive(size=self.size)
        kind = self.format or next((name for name, end in EXTENSIONS.items() if self.output.suffix == end), None)
        if kind is None:
            raise ValueError(f"output: {self.output}: must end in {', '.join(EXTENSIONS.values())}, or name --format")
        bundle = bundle_path(self.bundle)
        used = [self.checkpoint or bundle / "models" / "model.pt", *(bundle / "configs").iterdir()]
        if self.output.exists() and any(path.exists() and self.output.samefile(path) for path in used):
            raise ValueError(f"output: {self.output}: must be another file than the weights and configs of the bundle")
        from hybridseg.app.bundling.config import input_channels
        from hybridseg.app.inference.export import export_network
        from hybridseg.app.inference.exported import is_exported
        from hybridseg.app.inference.predictor import Predictor

        if self.checkpoint is not None and is_exported(self.checkpoint):
            raise ValueError(f"checkpoint: {self.checkpoint}: must be weights, not an exported network")
        predictor = Predictor(bundle, "cpu", self.checkpoint)
        size = self.size or getattr(predictor.inferer, "roi_size", None)
        if size is None:
            raise ValueError(f"size: must be given: the inferer of {bundle} has no roi_size")
        channels = input_channels(bundle)
        largest = export_network(predictor.network, self.output, kind, (channels, *size))
        record = {"file": str(self.output), "format": kind, "window": [channels, *size], "largest_difference": largest}
        shape = f"(batch, {', '.join(map(str, (channels, *size)))})"
        summary = f"{self.output}: {kind} for windows {shape}; logits differ by at most {largest:.1e} of the largest"
        self.show(record, summary)
        return 0
