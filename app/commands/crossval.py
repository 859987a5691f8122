"""`hybridseg crossval`: from a bundle and a dataset to one bundle with the networks of all folds, measured."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from hybridseg.app.bundling.config import inference_config, label_parts, label_rois, read_config, series_channels
from hybridseg.app.bundling.overrides import check_settings, read_settings
from hybridseg.app.runtime.console import say
from hybridseg.app.runtime.failed_cases import CaseFailures
from hybridseg.app.runtime.folder_lock import folder_lock
from hybridseg.app.runtime.options import check_at_least, check_positive
from hybridseg.bundles import bundle_path

from .command import BUNDLE_DEFAULT, ComputingCommand, make_folder
from .predict import Predict

if TYPE_CHECKING:
    from hybridseg.app.crossval import Split, Training
    from hybridseg.transforms.datasets.dataset import LabelledCase

TRAIN = "train.json"

FOLD_LOCK = ".hybridseg-crossval.lock"
"""Held in the folder of a fold; the training within holds the folder itself."""


@dataclass
class Crossval(ComputingCommand):
    """Train all folds, predict every case out of fold, and write one bundle with the networks of all folds.

    Repeat the command to continue after an interruption: trainings resume, and what is done is skipped.
    """

    examples = (
        "bundles/liver Dataset001_Liver -o runs/crossval",
        "bundles/liver Dataset001_Liver -o runs/crossval --fold 2",
    )

    bundle: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="BUNDLE")]]
    """Shipped bundle (`hybridseg info` lists them), or the folder of any bundle, such as a planned one."""
    dataset: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATASET")]]
    """Folder of the dataset, in a layout that `hybridseg plan` reads."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the folds, predictions, scores, report.html and, under its own name, the resulting bundle."""
    bundles: Annotated[tuple[str, ...], tyro.conf.arg(metavar="BUNDLE ...", help_behavior_hint="")] = ()
    """Further bundles to compare with, on the same folds.
    The best is used: another bundle if it is significantly better, or the ensemble of all if that is better still."""
    folds: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the bundle's folds, or 5)")
    ] = None
    """Number of folds to make instead of those of the bundle's split file."""
    patient: Annotated[
        str | None, tyro.conf.arg(metavar="REGEX", help_behavior_hint="(default: PatientID, _frame01)")
    ] = None
    """Regular expression that finds the patient in the name of a case; all cases of a patient are in one fold."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Random seed of the trainings, and of new folds, which are made with seed 0 otherwise."""
    fold: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    """Train and predict this fold only, for a scheduler; without it, the command then does the rest."""
    print_commands: bool = False
    """Print the command of each fold that is not trained yet, and the one to run after them, and train nothing."""
    jobs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: one per GPU)")] = None
    """Number of trainings at once."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda or cuda:N; auto spreads trainings over all GPUs."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Number of epochs of each training."""
    set: tyro.conf.UseAppendAction[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE", help_behavior_hint="(repeatable)")]
    ] = ()
    """Set any other key of train.json, as for `hybridseg train`."""
    average_weights: bool = False
    """Average the weights of all folds, if that is as good as the ensemble on the test cases of the split file."""
    tolerance: Annotated[float, tyro.conf.arg(metavar="MM")] = 1.0
    """Tolerance of the surface Dice in mm."""
    pictures: Annotated[int, tyro.conf.arg(metavar="N")] = 20
    """Largest number of cases with pictures in the report, worst first."""

    def run(self) -> int:
        """Cross-validate.

        Returns:
            0, or 1 if a training or a case failed.

        Raises:
            ValueError: an option, a bundle or the dataset cannot be used, or another run uses the folder.
            KeyboardInterrupt: Ctrl-C; the same command continues.
        """
        roots = self.check()
        from hybridseg.app.crossval import read_cases
        from hybridseg.app.runtime.machine import choose_device

        choose_device(self.device)
        make_folder(self.output)
        split = self.split(roots[0])
        if self.fold is not None and self.fold >= len(split.folds):
            raise ValueError(f"fold: {self.fold}: must be from 0 to {len(split.folds) - 1}")
        if self.average_weights and not split.test:
            raise ValueError(
                "average_weights: needs test cases in the bundle's split file: out-of-fold predictions cannot judge "
                "an average of networks that were trained on all cases"
            )
        trainings = self.trainings(roots, split)
        if self.print_commands:
            for training in trainings:
                training.check_options()
            commands = self.commands(trainings)
            self.show({"commands": commands}, "\n".join(commands))
            return 0
        rois, channels = label_rois(roots[0], TRAIN), series_channels(roots[0])
        cases = read_cases(self.dataset, split, rois=rois, channels=channels)
        try:
            with ExitStack() as held:
                if self.fold is None:
                    held.enter_context(folder_lock(self.output, "output"))
                for training in trainings:
                    training.folder.mkdir(parents=True, exist_ok=True)
                    held.enter_context(folder_lock(training.folder, "output", FOLD_LOCK))
                    training.check_options()
                self.warn_of_changed_data(trainings, cases)
                failed = self.train_and_predict(split, trainings, cases)
                if self.fold is not None:
                    return int(failed)
                if not all(training.is_done for training in trainings):
                    return 1
                failed |= self.conclude(roots, split, cases)
                if self.json:
                    from hybridseg.transforms.io.json_files import read_json

                    self.show(read_json(self.output / "crossval.json"), "")
                return int(failed)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted: repeat the command to continue") from None

    def check(self) -> list[Path]:
        """Check the options, and return the folders of the bundles.

        Raises:
            ValueError: an option or a bundle cannot be used.
        """
        check_at_least(0, fold=self.fold, seed=self.seed, pictures=self.pictures)
        check_at_least(1, jobs=self.jobs, epochs=self.epochs)
        check_at_least(2, folds=self.folds)
        check_positive(tolerance=self.tolerance)
        if own := read_settings(self.set).keys() & {"fold", "split_file", "run_dir", "dataset_dir", "resume"}:
            raise ValueError(f"set: {min(own)!r}: must not be set: the cross-validation sets it")
        if own := read_settings(self.set).keys() & {"rois", "modalities"}:
            raise ValueError(f"set: {min(own)!r}: must be set in the bundle's configs, by which the cases are scored")
        check_settings(read_settings(self.set))
        roots = [bundle_path(name) for name in (self.bundle, *self.bundles)]
        from hybridseg.transforms.datasets.layouts import check_folder

        check_folder(self.dataset)
        from hybridseg.app.crossval import check_bundles

        check_bundles(roots, self.output)
        return roots

    def split(self, bundle: Path) -> Split:
        """Return the folds, which the first run in the folder makes.

        Raises:
            ValueError: the dataset cannot be used, or the folder has other folds.
        """
        from hybridseg.app.crossval import bundle_split_file, make_split, read_split, write_split

        entries = list(self.output.iterdir())  # before the look for the file: another fold may just begin
        if self.split_file.is_file():
            split = read_split(self.split_file)
            given = {"folds": self.folds, "patient": self.patient, "seed": self.seed or 0}
            if other := [name for name, value in given.items() if split.settings[name] != value]:
                name = other[0]
                rule = f"must be {split.settings[name]}, as for the folds in {self.split_file}; or use another folder"
                raise ValueError(f"{name}: {given[name]}: {rule}")
            return split
        if any(not entry.name.startswith(".") for entry in entries):
            raise ValueError(f"output: {self.output}: must be empty, or the folder of an earlier cross-validation")
        split = make_split(
            self.dataset,
            bundle_split_file(bundle),
            folds=self.folds,
            patient=self.patient,
            seed=self.seed or 0,
            channels=series_channels(bundle),
        )
        for line in split.assumptions:
            say("crossval", line)
        write_split(self.split_file, split)
        return split

    @property
    def split_file(self) -> Path:
        """The file of the folds."""
        return self.output.resolve() / "split.json"

    def trainings(self, roots: Sequence[Path], split: Split) -> list[Training]:
        """List the trainings: of all folds and bundles, or those of one fold."""
        from hybridseg.app.crossval import Training, fold_folder
        from hybridseg.app.runtime.record import digest

        settings = read_settings(self.set)
        options = [word for setting in self.set for word in ("--set", setting)]
        given = {"--seed": self.seed, "--epochs": self.epochs}
        options += [word for name, value in given.items() if value is not None for word in (name, str(value))]
        configs = {root: {**read_config(root / "configs" / TRAIN), **settings} for root in roots}
        return [
            Training(
                bundle=str(root),
                dataset=self.dataset.resolve(),
                fold=fold,
                folder=fold_folder(self.output, root.name, fold),
                split=self.split_file,
                store=self.output.resolve() / "prepared" if "store" in config and "store" not in settings else None,
                epochs=self.epochs or as_number(config.get("max_epochs")),
                options=options,
                configs=digest([config, inference_config(root)]),
                folds=digest(split.folds),
            )
            for fold in (range(len(split.folds)) if self.fold is None else [self.fold])
            for root, config in configs.items()
        ]

    def commands(self, trainings: Sequence[Training]) -> list[str]:
        """Return the command of each fold that is not done, and the one to run after them."""
        words = ["hybridseg", "crossval", self.bundle, str(self.dataset), "-o", str(self.output)]
        given: dict[str, Any] = {"folds": self.folds, "patient": self.patient, "epochs": self.epochs}
        given |= {"seed": self.seed, "threads": self.threads, "device": None if self.device == "auto" else self.device}
        words += [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
        words += ["--bundles", *self.bundles] if self.bundles else []
        words += [word for setting in self.set for word in ("--set", setting)]
        folds = sorted({training.fold for training in trainings if not training.is_done})
        last = ["--average-weights"] if self.average_weights else []
        last += ["--tolerance", str(self.tolerance), "--pictures", str(self.pictures)]
        return [shlex.join([*words, "--fold", str(fold)]) for fold in folds] + [shlex.join([*words, *last])]

    def train_and_predict(self, split: Split, trainings: Sequence[Training], cases: Mapping[str, LabelledCase]) -> bool:
        """Train the folds that are not done and predict their cases; return whether anything failed."""
        from hybridseg.app.crossval import choose_devices, train_folds

        failures = CaseFailures("crossval", debug=self.debug)
        todo = [training for training in trainings if not training.is_done]
        for training in todo:  # predictions of weights that are about to change
            shutil.rmtree(training.folder / "predictions", ignore_errors=True)
        if len(todo) < len(trainings):
            print(f"{len(trainings) - len(todo)} of {len(trainings)} trainings are done", flush=True)
        train_folds(
            todo,
            choose_devices(self.device, self.jobs),
            lambda training, reason: failures.add(training.name, f"{training.name}: training failed: {reason}"),
        )
        failed = len(failures) > 0
        for training in trainings:
            if training.is_done:
                names = split.folds[training.fold]
                listed = [cases[name] for name in names]
                failed |= self.predict(training.folder, listed, training.bundle, training.weights)
        return failed

    def warn_of_changed_data(self, trainings: Sequence[Training], cases: Mapping[str, LabelledCase]) -> None:
        """Warn of trainings that are done, and whose cases changed since."""
        done = [training for training in trainings if training.is_done]
        if not done:
            return
        from hybridseg.transforms.store.identity import FileDigests, case_digest
        from hybridseg.transforms.store.store import DIGESTS

        digests = FileDigests(self.output.resolve() / "prepared" / DIGESTS)  # which trainings remember there
        now = {name: case_digest(case, ("image", "label"), digests) for name, case in cases.items()}
        for training in done:
            if found := training.changed_data(now):
                rule = f"remove {training.folder} to train it again"
                say("crossval", f"{training.name}: cases changed since it was trained: {', '.join(found)}: {rule}")

    def predict(self, folder: Path, cases: Sequence[LabelledCase], bundle: str, weights: Path | None = None) -> bool:
        """Predict cases into `predictions` of a folder; return whether any failed."""
        from hybridseg.app.crossval import write_case_list

        _, regions = label_parts(bundle_path(bundle))
        listing = folder / "cases.json"
        write_case_list(listing, cases)
        code = Predict(
            inputs=(listing,),
            output=folder / "predictions",
            bundle=bundle,
            checkpoint=() if weights is None else (weights,),
            device=self.device,
            probabilities=regions is not None,
            overwrite=weights is None,  # of a bundle that has just been written
            debug=self.debug,
        ).run()
        return code > 0

    def conclude(self, roots: Sequence[Path], split: Split, cases: Mapping[str, LabelledCase]) -> bool:
        """Choose a configuration, and write its bundle and the report; return whether anything failed."""
        from hybridseg.app.crossval import Conclusion

        failures = CaseFailures("crossval", debug=self.debug)
        conclusion = Conclusion(
            output=self.output,
            split=split,
            cases=cases,
            predict=self.predict,
            failures=failures,
            tolerance=self.tolerance,
            pictures=self.pictures,
        )
        found = conclusion.measure(roots)
        conclusion.write(found, average_weights=self.average_weights)
        return len(failures) > 0


def as_number(value: Any) -> int | None:
    """Return a whole number; None if a config computes it."""
    return int(value) if str(value).isdecimal() else None
