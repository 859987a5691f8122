"""The curves of a training, read from the TensorBoard event files in its run folder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

PER_ITERATION = ("train_loss", "Loss")
"""Tags logged at every iteration, by earlier versions and by MONAI's handler; all others are logged at every epoch."""
EVENTS = "events.out.tfevents.*"


@dataclass(frozen=True)
class Curve:
    """A scalar logged during a training.

    Args:
        name: its tag in the event files.
        unit: unit of the steps: `epoch` or `iteration`.
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
    """Read the curves of a run, joining those of resumed trainings.

    A resumed training replaces what an earlier start logged beyond the checkpoint. Values that are not finite are left
    out, and so is the loss per iteration if there is one per epoch.

    Args:
        run_dir: the folder with the event files.

    Returns:
        The losses first, then the other curves, by name.

    Raises:
        ValueError: the folder does not exist, or has no curves.
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
