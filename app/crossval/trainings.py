"""Train folds in processes of their own, several at once where devices allow; finished folds are skipped."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybridseg.app.bundling.config import literal
from hybridseg.app.labels.trained import RUN
from hybridseg.app.runtime.parent import WATCH, terminate_with_parent
from hybridseg.app.runtime.threads import use_threads
from hybridseg.app.training.run.changes import changed_cases
from hybridseg.app.training.run.record import read_case_digests
from hybridseg.app.training.run.run_folder import latest_epoch
from hybridseg.transforms.errors import VolumeError
from hybridseg.transforms.io.json_files import read_json, write_json

WEIGHTS, STARTED, TRAINED, LOG = "model.pt", "started.json", "trained.json", "crossval.log"
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_TO_END = 10


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training of one fold.

    Args:
        bundle: name or folder of the bundle.
        dataset: folder of the dataset.
        fold: the fold that validates.
        folder: folder of the run.
        split: file of the folds.
        store: folder of prepared cases that all trainings share, if the bundle has such a store.
        epochs: number of epochs, unless early stopping ends it; None if unknown.
        options: further words of `hybridseg train`.
        configs: checksum of the bundle's configs.
        folds: checksum of the cases of the folds.
    """

    bundle: str
    dataset: Path
    fold: int
    folder: Path
    split: Path
    store: Path | None = None
    epochs: int | None = None
    options: Sequence[str] = ()
    configs: str | None = None
    folds: str | None = None

    @property
    def name(self) -> str:
        """The fold and its bundle, for messages."""
        return f"fold {self.fold} of {Path(self.bundle).name}"

    @property
    def weights(self) -> Path:
        """The file of the best weights."""
        return self.folder / WEIGHTS

    @property
    def is_done(self) -> bool:
        """Whether the training has finished."""
        ended = self.epochs is not None and latest_epoch(self.folder) >= self.epochs
        return self.weights.is_file() and ((self.folder / TRAINED).is_file() or ended)

    def check_options(self) -> None:
        """Check that a training that has begun or finished had the same options, configs and folds.

        Raises:
            VolumeError: it had others, or its record cannot be read.
        """
        if not latest_epoch(self.folder) and not (self.folder / TRAINED).is_file():
            return
        for path in (self.folder / STARTED, self.folder / TRAINED):
            if not path.is_file():
                continue
            before = read_json(path)
            options = before.get("options") if isinstance(before, Mapping) else None
            if not isinstance(options, list) or not all(isinstance(word, str) for word in options):
                raise VolumeError(path, "no options of a training", "must be written by hybridseg crossval")
            if options != list(self.options):
                rule = f"must be trained with {shown(self.options)}; or use another folder"
                raise VolumeError(path, f"trained with {shown(options)}", rule)
            if before.get("configs", self.configs) != self.configs:  # earlier versions recorded none
                rule = "must be trained with the configs that the bundle has now; or use another folder"
                raise VolumeError(path, "trained with other configs of the bundle", rule)
            if before.get("folds", self.folds) != self.folds:
                rule = f"must be trained with the folds of {self.split}; or use another folder"
                raise VolumeError(path, "trained with other folds", rule)

    def changed_data(self, digests: Mapping[str, str]) -> list[str]:
        """Return which cases changed since they were used to train, as `changed_cases` does.

        Args:
            digests: of all cases now.

        Raises:
            VolumeError: the record of the training cannot be read.
        """
        subsets = read_case_digests(self.folder / RUN).values()
        before = {name: content for subset in subsets for name, content in subset.items()}
        return changed_cases(before, {name: content for name, content in digests.items() if name in before})

    def command(self, device: str) -> list[str]:
        """Return the command that starts the training, or resumes it after its last epoch."""
        words = ["train", self.bundle, str(self.dataset), "--run-dir", str(self.folder), "--fold", str(self.fold)]
        words += ["--device", device, "--set", f"split_file={literal(self.split)}"]
        words += [] if self.store is None else ["--set", f"store={literal(self.store)}"]
        resume = ["--resume"] if latest_epoch(self.folder) else []
        return [sys.executable, "-m", "hybridseg.app", *words, *self.options, *resume]

    def mark(self) -> None:
        """Record that the training has finished, which early stopping may have ended."""
        self.record(TRAINED, epochs=latest_epoch(self.folder))

    def record(self, name: str, **facts: int) -> None:
        """Write a record with what the training was started with into its folder."""
        given = {"options": list(self.options), "configs": self.configs, "folds": self.folds}
        write_json(self.folder / name, {**facts, **given})


def fold_folder(output: Path, name: str, fold: int) -> Path:
    """Return the folder of a fold of a bundle, or of an ensemble of bundles.

    Args:
        output: folder of the cross-validation.
        name: name of the bundle.
        fold: index of the fold.
    """
    return output / "folds" / name / f"fold_{fold}"


def shown(options: Sequence[str]) -> str:
    """Return options as text."""
    return shlex.join(options) or "no options"


def choose_devices(device: str, jobs: int | None) -> list[str]:
    """Return the device of each of the trainings that run at once.

    Args:
        device: auto, cpu, cuda or cuda:N; auto spreads trainings over all GPUs.
        jobs: how many run at once; None takes one per GPU, or one.
    """
    import torch

    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if device == "auto" else []
    devices = gpus or [device]
    return [devices[index % len(devices)] for index in range(jobs or len(devices))]


def train_folds(
    trainings: Sequence[Training], devices: Sequence[str], report: Callable[[Training, str], object]
) -> None:
    """Run trainings, at most one for each entry of `devices` at a time; a failed one does not stop the others.

    A single training shows its progress; of several at once each writes to `crossval.log` in its folder. All end when
    this call is interrupted or this process killed.

    Args:
        trainings: those to run.
        devices: a device for each training that runs at once.
        report: called when a training fails, with the reason in one line.
    """
    waiting, free = list(trainings), list(devices)
    running: dict[subprocess.Popen[bytes], tuple[Training, str]] = {}
    try:
        while waiting or running:
            while waiting and free:
                training, device = waiting.pop(0), free.pop(0)
                process = start(training, device, alone=len(devices) == 1, at_once=len(devices))
                running[process] = (training, device)
            for process in ended(running):
                training, device = running.pop(process)
                free.append(device)
                if process.returncode == 0 and training.weights.is_file():
                    training.mark()
                else:
                    report(training, reason(process, training.folder / LOG))
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def start(training: Training, device: str, *, alone: bool, at_once: int) -> subprocess.Popen[bytes]:
    """Start a training, or resume it."""
    training.record(STARTED)
    with use_threads(processes=at_once):
        environment = {**os.environ, WATCH: str(os.getpid())}
    before_exec = terminate_with_parent()
    command = training.command(device)
    if alone:
        (training.folder / LOG).unlink(missing_ok=True)
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, preexec_fn=before_exec)
    with (training.folder / LOG).open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, preexec_fn=before_exec)


def ended(running: Mapping[subprocess.Popen[bytes], object]) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the processes that have ended."""
    yield from [process for process in running if process.poll() is not None]


def reason(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return why a training failed: the last line of its log, or else its exit code."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else f"exit code {process.returncode}"
