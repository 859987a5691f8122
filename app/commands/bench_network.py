"""`hybridseg bench network`: what networks cost side by side, in time, memory and work."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from .command import Command, check_at_least

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NETWORKS = ("base", "SwinUNETR", "SwinUNETR v2", "DynUNet", "SegResNet", "MedNeXt")


@dataclass
class BenchNetwork(Command):
    """Measure networks side by side: a forward pass, a training step, their memory, parameters and multiply-adds.

    The networks take turns, and the fastest of the repetitions is told; behind it how many times that of the first
    network it is. A training step is forward, cross-entropy and backward, without the optimizer. Memory is what a
    training step takes beyond what was there before the first, in a process of its own. `rate` is the share of this
    machine's measured rate of matrix products that the step reaches, counted as three forward passes.
    """

    networks: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")] = NETWORKS
    """A preset (tiny, small, base), SwinUNETR (feature size 48), SwinUNETR v2, DynUNet (six stages), SegResNet or
    MedNeXt; the first is the measure."""
    size: tuple[int, int, int] = (96, 96, 96)
    """Voxels of the image."""
    channels: int = 1
    """Of the image."""
    classes: int = 14
    """Of the logits."""
    batch: int = 1
    """Images at once."""
    device: str = "cpu"
    """cpu, cuda or cuda:N."""
    threads: int = 1
    """CPU threads."""
    repeats: int = 3
    """Turns of each network, after one that is not counted."""
    precisions: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16")
    """bf16 is autocast."""
    channels_last: bool = False
    """Give all networks their weights and images in channels-last order; HybridSeg's have it by themselves."""
    compile: bool = False
    """Compile all networks by torch.compile."""
    allocator: Literal["default", "keep"] = "default"
    """`keep` tells glibc to keep freed memory, for all networks: by default it gives large blocks back to the system,
    and to get them again takes up to half of the time on a CPU."""
    profile: bool = False
    """Tell too where the time of the first network's step goes."""
    json: bool = False
    """Print as JSON."""

    def run(self) -> int:
        """Measure and print.

        Returns:
            0, or 1 when a network failed.

        Raises:
            ValueError: an option cannot be used.
        """
        check_at_least(1, channels=self.channels, classes=self.classes, batch=self.batch)
        check_at_least(1, threads=self.threads, repeats=self.repeats)
        if min(self.size) < 1:
            raise ValueError(f"size: {self.size}: must be positive")
        from hybridseg.app.benchmarks.network_cost import measure
        from hybridseg.app.benchmarks.network_workload import NetworkTask
        from hybridseg.app.runtime.machine import choose_device

        task = NetworkTask(
            networks=self.networks,
            shape=(self.batch, self.channels, *self.size),
            classes=self.classes,
            device=str(choose_device(self.device)),
            threads=self.threads,
            repeats=self.repeats,
            precisions=self.precisions,
            channels_last=self.channels_last,
            compile=self.compile,
            keep_memory=self.allocator == "keep",
            profile=self.profile,
        )
        record = measure(task, progress=sys.stderr.isatty())
        print(json.dumps(record, indent=2) if self.json else tables(record))
        return int(any("error" in row for rows in record["costs"].values() for row in rows))


def tables(record: Mapping[str, Any]) -> str:
    """A table for each precision."""
    from hybridseg.app.runtime.console import align

    machine = record["machine"]
    lines = [f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}"]
    for precision, rows in record["costs"].items():
        lines += ["", f"{precision}, of {machine['gigaflops'][precision]:.0f} GFLOP/s in matrix products"]
        header = ["network", "parameters", "multiply-adds", "forward", "", "step", "", "memory", "", "rate"]
        lines += align([header, *(row_of(row, rows) for row in rows)])
        if shares := machine.get("profile", {}).get(precision):
            told = ", ".join(f"{kind} {share:.0%}" for kind, share in sorted(shares.items(), key=lambda item: -item[1]))
            lines.append(f"a step of {rows[0]['network']}: {told}")
    return "\n".join(lines)


def row_of(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line of a table: costs, and how many times those of the first network they are."""
    if "error" in row:
        return [row["network"], *[""] * 8, row["error"]]
    cells = [row["network"], f"{row['parameters'] / 1e6:.1f} M", f"{row['multiply_adds'] / 1e9:.0f} G"]
    for name, unit, factor in (("forward", "s", 1.0), ("step", "s", 1.0), ("memory", "GB", 1e-9)):
        first = rows[0].get(name)
        times = f"{row[name] / first:.1f}x" if first and row is not rows[0] else ""
        cells += [f"{row[name] * factor:.3g} {unit}", times]
    return [*cells, f"{row['rate']:.0%}"]
