"""The curves of a training, out of the TensorBoard event files in the folder of its run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

PER_ITERATION = ("train_loss", "Loss")
"""What MONAI's handler logs of every iteration, by our name for it and by its own; all else is logged by epoch."""
EVENTS = "events.out.tfevents.*"


@dataclass(frozen=True)
class Curve:
    """A number that changed during a training.

    Args:
        name: its tag in the event files.
        unit: what the steps count: `epoch` or `iteration`.
        points: step and value, in order of steps; at least one.
    """

    name: str
    unit: str
    points: tuple[tuple[int, float], ...]

    def __str__(self) -> str:
        (first, start), (last, end) = self.points[0], self.points[-1]
        if len(self.points) == 1:
            return f"{self.name}: {start:.4g} at {self.unit} {first}."
        least, most = (end_of(self.points, key=lambda point: point[1]) for end_of in (min, max))
        return (
            f"{self.name}: from {start:.4g} at {self.unit} {first} to {end:.4g} at {self.unit} {last}; "
            f"lowest {least[1]:.4g} at {self.unit} {least[0]}, highest {most[1]:.4g} at {self.unit} {most[0]}."
        )


def read_curves(run_dir: Path) -> list[Curve]:
    """The curves of a run, of all its starts together; where one goes on, what an earlier one had beyond is dropped.

    The loss of every iteration is left out where that of every epoch is there. Values that are not finite are left out.

    Args:
        run_dir: the folder with the event files.

    Returns:
        The loss, and then what was measured, by name.

    Raises:
        ValueError: there is no such folder, or there are no curves in it.
    """
    if not run_dir.is_dir():
        raise ValueError(f"run_dir: {run_dir}: must be the folder of a training")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, ScalarEvent

    starts: dict[str, list[list[ScalarEvent]]] = {}
    for path in run_dir.glob(EVENTS):
        file = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        for tag in file.Tags()["scalars"]:
            starts.setdefault(tag, []).append(file.Scalars(tag))
    values: dict[str, dict[int, float]] = {}
    for tag, logged in starts.items():
        for events in sorted(logged, key=lambda events: events[0].wall_time):
            found = {event.step: event.value for event in events}
            earlier = {step: value for step, value in values.get(tag, {}).items() if step < min(found)}
            values[tag] = earlier | found
    finite = {
        tag: tuple((step, value) for step, value in sorted(found.items()) if math.isfinite(value))
        for tag, found in values.items()
        if tag not in PER_ITERATION or "loss" not in values
    }
    units = {tag: "iteration" if tag in PER_ITERATION else "epoch" for tag in finite}
    curves = [Curve(tag, units[tag], points) for tag, points in finite.items() if points]
    if not curves:
        raise ValueError(
            f"run_dir: {run_dir}: no curves in {EVENTS}: must be the folder of a training that logged some"
        )
    return sorted(curves, key=lambda curve: ("loss" not in curve.name.lower(), curve.name))
