"""`hybridseg bench network`: compare time, memory and operations of networks."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from hybridseg.app.runtime.options import check_at_least, check_positive

from .command import Command

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NETWORKS = ("base", "SwinUNETR", "SwinUNETR v2", "DynUNet", "SegResNet", "MedNeXt")


@dataclass
class BenchNetwork(Command):
    """Compare networks: time of a forward pass and a training step, memory, parameters and multiply-adds.

    The networks take turns; a row shows the fastest repetition, and its ratio to the first network. A training step is
    a forward pass, cross-entropy and a backward pass, without the optimizer. Memory is the peak of a training step in a
    process of its own, beyond what was held before the first step. `rate` is the speed of the step, counted as three
    forward passes, relative to the measured speed of matrix products on this machine.
    """

    examples = ("", "--networks base SwinUNETR --precisions fp32")

    networks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = NETWORKS
    """Presets (tiny, small, light, base) and reference networks; all are compared with the first.
    These are SwinUNETR with feature size 48, SwinUNETR v2, DynUNet with six stages, SegResNet and MedNeXt."""
    size: tuple[int, int, int] = (96, 96, 96)
    """Size of the image in voxels."""
    channels: int = 1
    """Number of image channels."""
    classes: int = 14
    """Number of classes."""
    batch: int = 1
    """Number of images in a batch."""
    device: str = "cpu"
    """Device to measure on: auto, cpu, cuda or cuda:N."""
    threads: int = 1
    """Number of CPU threads."""
    repeats: int = 3
    """Repetitions of each network, after a warm-up."""
    precisions: tuple[Literal["fp32", "bf16", "fp16"], ...] = ("fp32", "bf16")
    """Precisions to measure; bf16 and fp16 use autocast, and fp16 needs a CUDA GPU."""
    channels_last: bool = False
    """Use the channels-last memory format for all networks and images; the presets always use it."""
    compile: bool = False
    """Compile all networks with torch.compile."""
    allocator: Literal["default", "keep"] = "default"
    """`keep` makes glibc keep freed memory, for all networks alike.
    By default it returns large blocks to the system, and asking for them again takes up to half of the time on a CPU.
    """
    profile: bool = False
    """Also print how the time of a step of the first network is divided among kinds of operations."""

    def run(self) -> int:
        """Measure and print.

        Returns:
            0, or 1 if a network failed.

        Raises:
            ValueError: an option cannot be used.
        """
        check_at_least(1, channels=self.channels, classes=self.classes, batch=self.batch)
        check_at_least(1, threads=self.threads, repeats=self.repeats)
        check_positive(size=self.size)
        from hybridseg.app.benchmarks.network_cost import measure_networks
        from hybridseg.app.benchmarks.network_workload import NetworkTask
        from hybridseg.app.runtime.machine import choose_device
        from hybridseg.transforms.precision import check_precision

        device = choose_device(self.device)
        for name in self.precisions:
            check_precision(name, device)
        task = NetworkTask(
            networks=self.networks,
            shape=(self.batch, self.channels, *self.size),
            classes=self.classes,
            device=str(device),
            threads=self.threads,
            repeats=self.repeats,
            precisions=self.precisions,
            channels_last=self.channels_last,
            compile=self.compile,
            keep_memory=self.allocator == "keep",
            profile=self.profile,
        )
        record = measure_networks(task, progress=sys.stderr.isatty())
        self.show(record, tables(record))
        return int(any("error" in row for rows in record["costs"].values() for row in rows))


def tables(record: Mapping[str, Any]) -> str:
    """Return a table for each precision, as text."""
    from hybridseg.app.runtime.console import align

    machine = record["machine"]
    lines = [f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}"]
    for precision, rows in record["costs"].items():
        lines += ["", f"{precision}, {machine['gigaflops'][precision]:.0f} GFLOP/s in matrix products"]
        header = ["network", "parameters", "multiply-adds", "forward", "", "step", "", "memory", "", "rate"]
        lines += align([header, *(cells_of(row, rows) for row in rows)])
        if shares := machine.get("profile", {}).get(precision):
            lines.append(f"a step of {rows[0]['network']}: {describe_profile(shares)}")
    return "\n".join(lines)


def cells_of(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the cells of a network's row: its costs, each with the ratio to the first network."""
    if "error" in row:
        return [row["network"], *[""] * 8, row["error"]]
    cells = [row["network"], f"{row['parameters'] / 1e6:.1f} M", f"{row['multiply_adds'] / 1e9:.0f} G"]
    for name, unit, factor in (("forward", "s", 1.0), ("step", "s", 1.0), ("memory", "GB", 1e-9)):
        first = rows[0].get(name)
        ratio = f"{row[name] / first:.1f}x" if first and row is not rows[0] else ""
        cells += [f"{row[name] * factor:.3g} {unit}", ratio]
    return [*cells, f"{row['rate']:.0%}"]


def describe_profile(shares: Mapping[str, Any]) -> str:
    """Return the kinds of operations with their shares, the largest first."""
    if "error" in shares:
        return f"no profile: {shares['error']}"
    return ", ".join(f"{kind} {share:.0%}" for kind, share in sorted(shares.items(), key=lambda item: -item[1]))
