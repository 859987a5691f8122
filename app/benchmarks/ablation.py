"""Trainings of many networks by one bundle's recipe, each for the whole epochs that fill an equal budget of time."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from itertools import chain, repeat
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from tqdm import tqdm

from hybridseg.app.runtime.console import as_json, one_line
from hybridseg.app.training.run_folder import latest_checkpoint
from hybridseg.app.training.step import Step
from hybridseg.transforms.datasets.dataset import read_json
from hybridseg.transforms.io.atomic import replacing

from .comparison import TrainingResult, compare, table

ROUNDS = 15
TASK = "task.json"
Definition = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training to be done.

    Attributes:
        network: its name.
        definition: `network_def` of the bundle.
        seed: of the training.
        minutes: the budget, on one thread.
        seconds_per_step: what a step costs.
    """

    network: str
    definition: Definition
    seed: int
    minutes: float
    seconds_per_step: float

    @property
    def name(self) -> str:
        """Of its folder while it runs, and of the file of its result."""
        return f"{slug(self.network)}-{self.minutes:g}min-seed{self.seed}"


class Ablation:
    """The trainings of one bundle's recipe, and their results in a folder: a small file for each that is finished.

    Args:
        bundle: folder of the bundle.
        dataset: folder of its dataset.
        output: folder for costs, trainings and results.
        minutes: the budget of each training, on one thread of the CPU.
    """

    def __init__(self, bundle: Path, dataset: Path, output: Path, minutes: float) -> None:
        self.overrides = {"bundle_root": str(bundle), "dataset_dir": str(dataset), "num_workers": 0}
        self.overrides["device"] = "$torch.device('cpu')"  # a GPU's work is neither on one thread nor CPU time
        self.config = read_json(bundle / "configs" / "train.json")
        self.output = output
        self.minutes = minutes

    def measure_costs(self, definitions: Mapping[str, Definition]) -> dict[str, float]:
        """Seconds of a training step of each network, with the loading of its batch, in turns on one thread.

        Costs in the folder are kept. One of these networks is measured again beside those that are new or were defined
        otherwise, and their costs are put in proportion, as the machine may be slower or faster today.

        Raises:
            ValueError: the folder has trainings of a network that was defined otherwise.
        """
        file = self.output / "costs.json"
        known = read_json(file) if file.is_file() else {}
        missing = [name for name in definitions if known.get(name, {}).get("definition") != definitions[name]]
        for name in missing:
            if name in known and (found := list(self.output.glob(f"{slug(name)}-[0-9]*min-seed*"))):
                raise ValueError(f"output: {found[0]}: is of {name!r} by another definition: must lie elsewhere")
        if missing:
            anchors = [name for name in definitions if name not in missing][:1]
            measured = self.time_steps({name: definitions[name] for name in [*anchors, *missing]})
            scale = known[anchors[0]]["seconds"] / measured[anchors[0]] if anchors else 1.0
            for name in missing:
                known[name] = {"seconds": measured[name] * scale, "definition": definitions[name]}
            with replacing(file) as temporary:
                temporary.write_text(as_json(known), encoding="utf-8")
        return {name: known[name]["seconds"] for name in definitions}

    def time_steps(self, definitions: Mapping[str, Definition]) -> dict[str, float]:
        """CPU time of the fastest of some steps of each network, which take turns, and of loading a batch (median)."""
        torch.set_num_threads(1)
        data = self.parser({}, cache_rate=0.0)
        loader = chain.from_iterable(repeat(data.get_parsed_content("train::dataloader")))
        loading, batches = [], []
        for _ in range(ROUNDS):
            start = process_time()
            batches.append(next(loader))
            loading.append(process_time() - start)
        steps = {name: Step(self.parser(definition)) for name, definition in definitions.items()}
        best = dict.fromkeys(definitions, math.inf)
        for batch in tqdm(batches, desc="timing", disable=None, leave=False):
            for name, step in steps.items():
                start = process_time()
                step(batch)
                best[name] = min(best[name], process_time() - start)
        return {name: seconds + median(loading) for name, seconds in best.items()}

    def parser(self, definition: Definition, **overrides: Any) -> ConfigParser:
        """The bundle's configuration for a network."""
        parser = ConfigParser(self.config)
        parser.update({**self.overrides, **overrides})
        if definition:
            parser.update({"network_def": network_def(self.config, definition)})
        return parser

    def train(
        self, definitions: Mapping[str, Definition], seeds: Sequence[int], costs: Mapping[str, float], *, jobs: int
    ) -> Iterator[TrainingResult]:
        """Do the trainings that are not done, the first seed of all networks first.

        Args:
            definitions: networks by name.
            seeds: a training of each network for each.
            costs: seconds of a step of each network.
            jobs: trainings side by side.

        Yields:
            The outcome of each, as it ends.
        """
        trainings = [
            Training(network=name, definition=definition, seed=seed, minutes=self.minutes, seconds_per_step=costs[name])
            for seed in seeds
            for name, definition in definitions.items()
        ]
        todo = [training for training in trainings if not self.result(training).is_file()]
        with ThreadPoolExecutor(jobs) as pool:
            futures = {pool.submit(self.train_in_child, training): training for training in todo}
            try:
                yield from (done.result() for done in tqdm(as_completed(futures), total=len(futures), disable=None))
            finally:
                pool.shutdown(cancel_futures=True)

    def train_in_child(self, training: Training) -> TrainingResult:
        """Do a training in a process of its own, on one thread, in a folder that goes when the result is there."""
        folder = self.output / training.name
        named: dict[str, Any] = {"network": training.network, "seed": training.seed}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return TrainingResult(**named, error=one_line(error))
        task = {"training": asdict(training), "config": self.config, "overrides": self.overrides}
        (folder / TASK).write_text(as_json(task), encoding="utf-8")
        with (folder / "log.txt").open("w", encoding="utf-8") as log:
            command = [sys.executable, "-m", __name__, str(folder), str(self.result(training))]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            code = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False).returncode
        if code == 0:
            shutil.rmtree(folder)
            return TrainingResult(**read_json(self.result(training)))
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        return TrainingResult(**named, error=lines[-1] if lines else f"exit code {code}")

    def report(self, names: Sequence[str], seeds: Sequence[int]) -> str:
        """A table of what is there, best first, with the first network as the measure; kept as `ablation.json` too."""
        costs = read_json(self.output / "costs.json")
        seconds = {name: costs[name]["seconds"] for name in names if name in costs}
        records = compare({name: self.outcomes(name, seeds) for name in names}, seconds)
        with replacing(self.output / "ablation.json") as temporary:
            temporary.write_text(as_json({"minutes": self.minutes, "networks": records}), encoding="utf-8")
        return table(records, names[0])

    def outcomes(self, name: str, seeds: Sequence[int]) -> list[TrainingResult]:
        """The finished trainings of a network."""
        trainings = [
            Training(network=name, definition={}, seed=seed, minutes=self.minutes, seconds_per_step=0.0)
            for seed in seeds
        ]
        files = map(self.result, trainings)
        return [TrainingResult(**read_json(file)) for file in files if file.is_file()]

    def result(self, training: Training) -> Path:
        """Where the outcome of a training is kept."""
        return self.output / f"{training.name}.json"


def slug(network: str) -> str:
    """The name of a network as those of files have it."""
    return re.sub("[^a-zA-Z0-9]+", "-", network)


def network_def(config: Mapping[str, Any], definition: Definition) -> dict[str, Any]:
    """A network in place of a bundle's, for its channels in and out."""
    channels = {name: config["network_def"][name] for name in ("in_channels", "out_channels")}
    return {**definition, **channels}


def train_network(folder: Path, result: Path) -> None:
    """Do the training that is described in a folder, or go on with it, and write its outcome."""
    task = read_json(folder / TASK)
    training = Training(**task["training"])
    run_dir = folder / "run"
    config = task["config"] | task["overrides"]
    config |= {"network_def": network_def(config, training.definition), "run_dir": str(run_dir)}
    config |= {"seed": training.seed, "resume": latest_checkpoint(run_dir) is not None}
    config["split"] = config["split"].replace("seed=@seed", "seed=0")  # the same cases for every seed
    steps_per_epoch = len(ConfigParser(config).get_parsed_content("train::dataloader"))
    epochs = max(1, math.ceil(training.minutes * 60 / training.seconds_per_step / steps_per_epoch))
    config |= {"max_epochs": epochs, "val_interval": epochs}
    (folder / "train.json").write_text(as_json(config), encoding="utf-8")
    torch.set_num_threads(1)
    workflow = ConfigWorkflow(str(folder / "train.json"), workflow_type="train")
    workflow.initialize()
    workflow.run()
    evaluator = workflow.parser.get_parsed_content("validate::evaluator")
    cases = [case["case"] for case in workflow.parser.get_parsed_content("split")["validation"]]
    dice = evaluator.state.metric_details[evaluator.state.key_metric_name].nanmean(dim=1).tolist()
    network = workflow.parser.get_parsed_content("network")
    outcome = TrainingResult(
        network=training.network,
        seed=training.seed,
        steps=epochs * steps_per_epoch,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        dice=dict(zip(cases, dice, strict=True)),
    )
    with replacing(result) as temporary:
        temporary.write_text(as_json(asdict(outcome)), encoding="utf-8")


if __name__ == "__main__":
    train_network(Path(sys.argv[1]), Path(sys.argv[2]))
