"""`hybridseg train`: check options, data and run folder, then train a bundle by MONAI."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from hybridseg.app.bundling.config import literal
from hybridseg.app.bundling.monai_command import as_word, bundle_run, quoted, show_command
from hybridseg.app.bundling.overrides import SEPARATOR, check_key, read_settings
from hybridseg.app.runtime.child_process import run_child
from hybridseg.app.runtime.console import say
from hybridseg.app.runtime.folder_lock import folder_lock
from hybridseg.app.runtime.options import check_at_least
from hybridseg.app.runtime.threads import use_threads
from hybridseg.app.training.progress.trackers import check_trackers
from hybridseg.app.training.run.run_folder import latest_epoch
from hybridseg.bundles import bundle_path

from .command import BUNDLE_DEFAULT, ComputingCommand, PrecisionName, make_folder

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

KEYS: Mapping[str, str] = {
    "run_dir": "run_dir",
    "epochs": "max_epochs",
    "device": "device",
    "seed": "seed",
    "fold": "fold",
    "pretrained": "pretrained",
    "store": "store",
    "precision": "precision",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "resume": "resume",
}
"""The key of train.json that each option sets, by field."""
OPTIONS: Mapping[str, str] = {
    "dataset_dir": "dataset",
    **{key: option.replace("_", "-") for option, key in KEYS.items()},
}
"""The name of the option or argument that sets each key, in messages."""
TEXTS = ("mlflow", "wandb")
"""Options whose values are texts, whatever Python or MONAI would read in them."""
SUBSETS: Mapping[str, str] = {"training": "train::dataset::data", "validation": "validate::dataset::data"}


@dataclass
class Train(ComputingCommand):
    """Train a bundle on a dataset: check options, data and run folder, then start `python -m monai.bundle run`."""

    examples = (
        "hippocampus_mri_segmentation Task04_Hippocampus -o runs/hippocampus",
        "bundles/liver Dataset001_Liver -o runs/liver --fold 0 --resume",
    )

    bundle: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="BUNDLE")]]
    """Shipped bundle (`hybridseg info` lists them), or the folder of any bundle."""
    dataset: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATASET")]]
    """Folder of the dataset, in a layout that `hybridseg plan` reads."""
    run_dir: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o", "--output"], metavar="FOLDER", help_behavior_hint=BUNDLE_DEFAULT)
    ] = None
    """Folder for the run: weights, checkpoints, curves, progress.png, run.json, split.json, training.log."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Number of epochs."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda or cuda:N; auto uses a GPU if there is one."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Random seed of the training, and of the split of the cases if the bundle has no split.json."""
    fold: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BUNDLE_DEFAULT)] = None
    """Fold to validate on, if the bundle has folds."""
    pretrained: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Weights to start from, such as the model.pt of another training; tensors that do not match are skipped."""
    store: Annotated[
        Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: `prepared` in the run folder)")
    ] = None
    """Folder of prepared cases, which trainings with the same preprocessing can share; see `hybridseg store`."""
    precision: Annotated[
        PrecisionName | None, tyro.conf.arg(metavar="PRECISION", help_behavior_hint=BUNDLE_DEFAULT)
    ] = None
    """auto, fp32, bf16 or fp16 (CUDA only); auto uses bf16 on devices where it is faster than fp32."""
    mlflow: Annotated[str | None, tyro.conf.arg(metavar="URI|FOLDER", help_behavior_hint="")] = None
    """Also track the training in MLflow, at this address or in this folder."""
    wandb: Annotated[str | None, tyro.conf.arg(metavar="PROJECT", help_behavior_hint="")] = None
    """Also track the training in this project of Weights & Biases."""
    resume: bool = False
    """Resume the run in the run folder after its last complete epoch."""
    processes: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes that train together, each on its own GPU if there are GPUs."""
    set: tyro.conf.UseAppendAction[
        Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE", help_behavior_hint="(repeatable)")]
    ] = ()
    """Set any other key of the bundle's train.json, such as learning_rate=0.001 or validate::inferer::overlap=0.25."""

    def run(self) -> int:
        """Check, then train.

        Returns:
            0, or 1 when the training failed.

        Raises:
            ValueError: an option, the bundle, the dataset or the run folder cannot be used.
            KeyboardInterrupt: Ctrl-C stopped the training; the message says how to resume it.
        """
        self.check_numbers()
        root = bundle_path(self.bundle)
        names = ["train.json", "multi_gpu_train.json"] if self.processes > 1 else ["train.json"]
        configs = [root / "configs" / name for name in names]
        overrides = self.overrides()
        from hybridseg.transforms.datasets.layouts import check_folder

        check_folder(self.dataset)
        from hybridseg.app.runtime.machine import choose_device

        device = choose_device(self.device)
        if self.precision is not None:
            from hybridseg.transforms.precision import check_precision

            check_precision(self.precision, device)
        check_trackers(mlflow=self.mlflow, wandb=self.wandb)
        config = self.read_config(configs, overrides)
        config["bundle_root"] = literal(root)
        self.check_values(config, configs, overrides)
        run_dir = self.check_run_folder(config)
        if self.pretrained is not None:
            from hybridseg.networks.weights import read_weights

            read_weights(self.pretrained)
        counts = {subset: self.count_cases(config, subset, key) for subset, key in SUBSETS.items() if key in config}
        command = bundle_run(configs, overrides, self.processes)
        cases = ", ".join(f"{count} for {subset}" for subset, count in counts.items())
        print(f"cases    {cases}\nrun      {run_dir}\n\n{show_command(command)}\n", flush=True)
        self.warn_of_prediction(root / "configs" / "inference.json")
        return self.train(command, run_dir)

    def check_numbers(self) -> None:
        """Check the numbers, and that several processes do not ask for one GPU."""
        check_at_least(1, epochs=self.epochs, processes=self.processes)
        check_at_least(0, seed=self.seed, fold=self.fold)
        if self.processes > 1 and self.device not in ("auto", "cpu"):
            raise ValueError(
                f"device: {self.device!r}: must be auto or cpu for several processes, which each take their own GPU"
            )

    def overrides(self) -> dict[str, object]:
        """Return what the arguments, the options and `--set` change in the config, by key.

        Raises:
            ValueError: a setting is not key=value, or sets a key that an option sets too.
        """
        given: dict[str, object] = {"dataset_dir": self.dataset}
        for option, key in KEYS.items():
            value: Any = getattr(self, option)
            is_default = value is None or value is False or (option, value) == ("device", "auto")
            if not is_default:  # 0 is a seed and a fold
                given[key] = quoted(str(value)) if option in TEXTS else value
        settings = read_settings(self.set)
        if twice := given.keys() & settings.keys():
            raise ValueError(f"set: {min(twice)!r}: must be set once; an option or argument sets it too")
        return given | settings

    def read_config(self, configs: Sequence[Path], overrides: Mapping[str, object]) -> ConfigParser:
        """Build the config as MONAI's command line will, but only with keys that exist.

        Raises:
            ValueError: a file cannot be read, or the config lacks a key that is set.
        """
        from fire.parser import DefaultParseValue
        from monai.bundle import ConfigParser

        from hybridseg.app.bundling.config import read_config

        config = ConfigParser(read_config(configs[0]))
        for path in configs[1:]:
            config.update(read_config(path))
        for key in (*overrides, "run_dir"):
            check_key(key, OPTIONS.get(key, "set"), config.get(), configs[0])
        for key, value in overrides.items():
            config[key] = DefaultParseValue(as_word(value)) if isinstance(value, str | Path) else value
        return config

    def check_values(self, config: ConfigParser, configs: Sequence[Path], overrides: Mapping[str, object]) -> None:
        """Check the values of the training, also those that the config computes.

        Raises:
            ValueError: a value cannot be used, or cannot be computed.
        """
        from hybridseg.app.runtime.config_values import PART, broken_rule, rule_of
        from hybridseg.transforms.errors import VolumeError

        rules = {key: rule_of(key) for key in {**config.get(), **overrides}}
        known = [key for key, rule in rules.items() if rule is not None and rule is not PART]
        if broken := broken_rule({key: config.get_parsed_content(key) for key in known}):
            key, value, rule = broken
            if key in overrides:
                raise ValueError(f"{OPTIONS.get(key, f'set: {key}')}: {value}: {rule}")
            raise VolumeError(configs[0], f"{key}: {value}", rule)

    def check_run_folder(self, config: ConfigParser) -> Path:
        """Make the run folder if needed, and return it.

        Raises:
            ValueError: it is not writable, holds a run that is finished or is not to be resumed, or no run to resume.
        """
        run_dir = Path(config.get_parsed_content("run_dir"))
        done, resume = latest_epoch(run_dir), config.get_parsed_content("resume") if "resume" in config else self.resume
        if done and not resume:
            raise ValueError(f"run-dir: {run_dir}: already has a run: use --resume, or another folder")
        if resume is True and not done:
            raise ValueError(f"run-dir: {run_dir}: has no checkpoint_epoch=N.pt: there is no run to resume")
        epochs = config.get_parsed_content("max_epochs") if "max_epochs" in config else None
        if epochs is not None and done >= epochs:
            raise ValueError(f"epochs: {epochs}: must be more than the {done} that the run in {run_dir} has done")
        make_folder(run_dir, "run-dir")
        with folder_lock(run_dir, "run-dir"):  # the training takes it again
            return run_dir

    def count_cases(self, config: ConfigParser, subset: str, key: str) -> int:
        """Count the cases that the config finds in the dataset for a subset.

        Raises:
            ValueError: the dataset cannot be used, or has no such case.
        """
        from hybridseg.transforms.errors import VolumeError

        if not (cases := config.get_parsed_content(key)):
            raise VolumeError(self.dataset, f"no cases for {subset}", "at least one is needed")
        return len(cases)

    def warn_of_prediction(self, inference: Path) -> None:
        """Warn of settings that prediction needs too, but reads from its own config."""
        from hybridseg.transforms.io.json_files import read_json

        known = read_json(inference).keys() - KEYS.values() if inference.is_file() else set()
        if keys := [key for key in read_settings(self.set) if key.partition(SEPARATOR)[0] in known]:
            rule = f"for prediction, change configs/{inference.name} in a copy of the bundle alike"
            say("train", f"set for this training only: {', '.join(keys)}: {rule}")

    def train(self, command: list[str], run_dir: Path) -> int:
        """Run the command, and print where its weights are, or report why there are none."""
        log = run_dir / "training.log"
        try:
            with use_threads(self.threads, processes=self.processes):
                run_child(command, log, show_traceback=self.debug)
        except subprocess.CalledProcessError as error:
            say("train", f"training failed: {error.output} (full output: {log})")
            return 1
        except KeyboardInterrupt:
            advice = "no epoch was complete, so there is no run to resume"
            if epoch := latest_epoch(run_dir):
                advice = f"the same command with --resume continues after epoch {epoch}"
            raise KeyboardInterrupt(f"interrupted: {advice}") from None
        weights = run_dir / "model.pt"
        if not weights.is_file():
            say("train", f"{weights}: was not written: see {log}")
            return 1
        use = f"hybridseg predict SCAN -o labels --bundle {self.bundle} --checkpoint {weights}"
        record = {"run_dir": str(run_dir), "weights": str(weights), "epochs": latest_epoch(run_dir)}
        self.show(record, f"\nweights  {weights}\nuse      {use}")
        return 0
