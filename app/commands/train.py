"""`hybridseg train`: MONAI's training of a bundle, with what can go wrong found before it starts."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from hybridseg.app.bundling.monai_command import as_word, bundle_run, show_command
from hybridseg.app.bundling.overrides import SEPARATOR, read_settings, refuse_unknown
from hybridseg.app.runtime.child_process import run_child
from hybridseg.app.runtime.console import say
from hybridseg.app.training.run_folder import latest_epoch
from hybridseg.bundles import bundle_path

from .command import Command, make_folder

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

KEYS: Mapping[str, str] = {
    "run_dir": "run_dir",
    "epochs": "max_epochs",
    "device": "device",
    "seed": "seed",
    "fold": "fold",
    "pretrained": "pretrained",
    "resume": "resume",
}
"""The key of train.json that each option sets."""
SUBSETS: Mapping[str, str] = {"training": "train::dataset::data", "validation": "validate::dataset::data"}
BY_BUNDLE = "(default: the bundle's)"


@dataclass
class Train(Command):
    """Train a bundle on a dataset: `python -m monai.bundle run`, once options, data and run folder are found good."""

    bundle: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="BUNDLE")]]
    """Shipped bundle (`hybridseg info` lists them), or the folder of any bundle."""
    dataset: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="DATASET")]]
    """Folder in the layout of the Medical Segmentation Decathlon or of nnU-Net, or with images and labels."""
    run_dir: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint=BY_BUNDLE)] = (
        None
    )
    """Folder of the run: weights, checkpoints, curves, the division of the cases, training.log."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BY_BUNDLE)] = None
    """Epochs to train."""
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "auto"
    """auto, cpu, cuda or cuda:N; auto takes a GPU if there is one."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BY_BUNDLE)] = None
    """Of the training, and of the division of the cases where no list divides them."""
    fold: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint=BY_BUNDLE)] = None
    """Which fold validates, where the bundle knows folds."""
    pretrained: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Weights to start from, such as the model.pt of another training; what does not fit the network is left out."""
    resume: bool = False
    """Go on with the run in the run folder, from its last whole epoch."""
    processes: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes that train together, each on a GPU of its own where there are GPUs."""
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
            KeyboardInterrupt: Ctrl-C has ended the training; the message says how to go on.
        """
        self.check_numbers()
        root = bundle_path(self.bundle)
        names = ["train.json", "multi_gpu_train.json"] if self.processes > 1 else ["train.json"]
        configs = [root / "configs" / name for name in names]
        overrides = self.overrides()
        from hybridseg.app.runtime.machine import choose_device

        choose_device(self.device)
        config = self.read_config(configs, overrides)
        config["bundle_root"] = str(root)
        run_dir = self.check_run_folder(config)
        if self.pretrained is not None:
            from hybridseg.networks.weights import read_weights

            read_weights(self.pretrained)
        counts = {subset: self.count_cases(config, subset, key) for subset, key in SUBSETS.items() if key in config}
        command = bundle_run(configs, overrides, self.processes)
        cases = ", ".join(f"{count} for {subset}" for subset, count in counts.items())
        print(f"cases    {cases}\nrun      {run_dir}\n\n{show_command(command)}\n", flush=True)
        self.tell_of_prediction(root / "configs" / "inference.json")
        return self.train(command, run_dir)

    def check_numbers(self) -> None:
        """Refuse a number that is too small, and a GPU for several processes."""
        for name, least in (("epochs", 1), ("seed", 0), ("fold", 0), ("processes", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: {value}: must be at least {least}")
        if self.processes > 1 and self.device not in ("auto", "cpu"):
            raise ValueError(f"device: {self.device!r}: must be auto or cpu for several processes: each takes its own")

    def overrides(self) -> dict[str, object]:
        """What the options and `--set` change in the config, by key.

        Raises:
            ValueError: a setting is not key=value, or sets what an option sets already.
        """
        given: dict[str, object] = {"dataset_dir": self.dataset}
        for option, key in KEYS.items():
            value = getattr(self, option)
            if value is not None and value is not False and value != "auto":  # 0 is a seed and a fold
                given[key] = value
        settings = read_settings(self.set)
        if twice := given.keys() & settings.keys():
            raise ValueError(f"set: {min(twice)!r}: must not be set twice; an option or argument sets it already")
        return given | settings

    def read_config(self, configs: Sequence[Path], overrides: Mapping[str, object]) -> ConfigParser:
        """The config as MONAI's command line will make it, except that every key that is set must be there.

        Raises:
            ValueError: a file cannot be read, or the config has no such key.
        """
        from fire.parser import DefaultParseValue
        from monai.bundle import ConfigParser

        from hybridseg.transforms.datasets.dataset import read_json

        config = ConfigParser(read_json(configs[0]))
        for path in configs[1:]:
            config.update(read_json(path))
        options = {key: option.replace("_", "-") for option, key in KEYS.items()} | {"dataset_dir": "dataset"}
        for key in (*overrides, "run_dir"):
            refuse_unknown(key, options.get(key, "set"), config.get(), configs[0])
        for key, value in overrides.items():
            config[key] = DefaultParseValue(as_word(value)) if isinstance(value, str | Path) else value
        return config

    def check_run_folder(self, config: ConfigParser) -> Path:
        """The run folder, which is there and can be written to.

        Raises:
            ValueError: it cannot be made or written to, has a run that is not to be resumed or is finished, or none to
                resume.
        """
        run_dir = Path(config.get_parsed_content("run_dir"))
        done = latest_epoch(run_dir)
        if done and not self.resume:
            raise ValueError(f"run-dir: {run_dir}: has a run already: go on with it by --resume, or name another")
        if self.resume and not done:
            raise ValueError(f"run-dir: {run_dir}: has no checkpoint_epoch=N.pt: there is nothing to resume")
        epochs = config.get_parsed_content("max_epochs") if "max_epochs" in config else None
        if epochs is not None and done >= epochs:
            raise ValueError(f"epochs: {epochs}: must be more than the {done} that the run in {run_dir} has done")
        make_folder(run_dir, "run-dir")
        return run_dir

    def count_cases(self, config: ConfigParser, subset: str, key: str) -> int:
        """How many cases the config finds in the dataset for a subset.

        Raises:
            ValueError: the dataset cannot be used, or there is none.
        """
        from hybridseg.transforms.errors import VolumeError

        if not (cases := config.get_parsed_content(key)):
            raise VolumeError(self.dataset, f"no cases for {subset}", "at least one is needed")
        return len(cases)

    def tell_of_prediction(self, inference: Path) -> None:
        """Say which of the settings prediction needs too, and does not know."""
        from hybridseg.transforms.datasets.dataset import read_json

        known = read_json(inference).keys() - KEYS.values() if inference.is_file() else set()
        if keys := [key for key in read_settings(self.set) if key.partition(SEPARATOR)[0] in known]:
            rule = f"to predict, set the same in configs/{inference.name} of a copy of the bundle"
            say("train", f"set for this training only: {', '.join(keys)}: {rule}")

    def train(self, command: list[str], run_dir: Path) -> int:
        """Run the command, and say where its weights are, or why there are none."""
        log = run_dir / "training.log"
        try:
            run_child(command, log, show_traceback=self.debug)
        except subprocess.CalledProcessError as error:
            say("train", f"training failed: {error.output} ({log} has all that it printed)")
            return 1
        except KeyboardInterrupt:
            how = "no epoch was finished, and there is nothing to resume"
            if epoch := latest_epoch(run_dir):
                how = f"the same command with --resume goes on after epoch {epoch}"
            raise KeyboardInterrupt(f"interrupted: {how}") from None
        weights = run_dir / "model.pt"
        if not weights.is_file():
            say("train", f"{weights}: was not written: {log} may say why")
            return 1
        print(f"\nweights  {weights}")
        print(f"use      hybridseg predict SCAN -o labels --bundle {self.bundle} --checkpoint {weights}")
        return 0
