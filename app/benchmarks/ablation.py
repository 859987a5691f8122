"""Train many networks with one bundle's recipe, each for the whole epochs that fill an equal budget of time."""

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

from hybridseg.app.runtime.child_process import ChildError
from hybridseg.app.runtime.console import hides_bars, one_line
from hybridseg.app.runtime.threads import thread_environment
from hybridseg.app.training.run.run_folder import latest_checkpoint
from hybridseg.app.training.step import Step
from hybridseg.transforms.io.json_files import read_json, write_json

from .comparison import TrainingResult, compare_networks, comparison_table

ROUNDS = 15
"""Batches on which each network is timed."""
TASK, LOG = "task.json", "log.txt"
"""Files in the folder of a training while it runs."""
STORE = "prepared"
"""Folder of the prepared cases."""
Definition = Mapping[str, Any]
"""The `network_def` of a bundle, without the channels in and out."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training to run.

    Attributes:
        network: name of the network.
        definition: the network.
        seed: seed of the training.
        minutes: its budget of computing time, on one thread.
        seconds_per_step: time of a training step.
    """

    network: str
    definition: Definition
    seed: int
    minutes: float
    seconds_per_step: float

    @property
    def name(self) -> str:
        """The name of its folder while it runs, and of the file of its result."""
        return f"{slug(self.network)}-{self.minutes:g}min-seed{self.seed}"


class Ablation:
    """Trainings with one bundle's recipe; each finished training has a result file in the output folder.

    Args:
        bundle: folder of the bundle.
        dataset: folder of its dataset.
        output: folder for costs, trainings and results.
        minutes: budget of each training, on one thread of the CPU.
    """

    def __init__(self, bundle: Path, dataset: Path, output: Path, minutes: float) -> None:
        self.overrides = {"bundle_root": str(bundle), "dataset_dir": str(dataset), "num_workers": 0}
        self.overrides["store"] = str(output / STORE)  # one for all trainings
        self.overrides["device"] = "$torch.device('cpu')"  # the budget counts CPU time of one thread
        self.config = read_json(bundle / "configs" / "train.json")
        self.output = output
        self.minutes = minutes

    def measure_costs(self, definitions: Mapping[str, Definition]) -> dict[str, float]:
        """Measure the seconds of a training step of each network, with loading its batch, in turns on one thread.

        Costs in the folder are reused. One of their networks is measured again beside the new and changed networks, and
        scales their costs, since the machine may be slower or faster today.

        Raises:
            ValueError: the folder holds trainings of a network whose definition has changed.
        """
        file = self.output / "costs.json"
        known = read_json(file) if file.is_file() else {}
        missing = [name for name in definitions if known.get(name, {}).get("definition") != definitions[name]]
        for name in missing:
            if name in known and (found := list(self.output.glob(f"{slug(name)}-[0-9]*min-seed*"))):
                rule = "use another folder, or move this file away"
                raise ValueError(f"output: {found[0]}: trained with another definition of {name!r}: {rule}")
        if missing:
            anchors = [name for name in definitions if name not in missing][:1]
            measured = self.time_steps({name: definitions[name] for name in [*anchors, *missing]})
            scale = known[anchors[0]]["seconds"] / measured[anchors[0]] if anchors else 1.0
            for name in missing:
                known[name] = {"seconds": measured[name] * scale, "definition": definitions[name]}
            write_json(file, known)
        return {name: known[name]["seconds"] for name in definitions}

    def time_steps(self, definitions: Mapping[str, Definition]) -> dict[str, float]:
        """Return the CPU time of each network's fastest step, in turns, plus the median time to load a batch."""
        torch.set_num_threads(1)
        data = self.parser({})
        loader = chain.from_iterable(repeat(data.get_parsed_content("train::dataloader")))
        loading, batches = [], []
        for _ in range(ROUNDS):
            start = process_time()
            batches.append(next(loader))
            loading.append(process_time() - start)
        steps = {name: Step(self.parser(definition)) for name, definition in definitions.items()}
        fastest = dict.fromkeys(definitions, math.inf)
        for batch in tqdm(batches, desc="timing", disable=hides_bars(), leave=False):
            for name, step in steps.items():
                start = process_time()
                step(batch)
                fastest[name] = min(fastest[name], process_time() - start)
        return {name: seconds + median(loading) for name, seconds in fastest.items()}

    def parser(self, definition: Definition, **overrides: Any) -> ConfigParser:
        """Return the bundle's config with another network; an empty definition keeps the bundle's."""
        parser = ConfigParser(self.config)
        parser.update({**self.overrides, **overrides})
        if definition:
            parser.update({"network_def": network_def(self.config, definition)})
        return parser

    def train(
        self, definitions: Mapping[str, Definition], seeds: Sequence[int], costs: Mapping[str, float], *, jobs: int
    ) -> Iterator[TrainingResult]:
        """Run the trainings that have no result yet, all networks with the first seed first.

        Args:
            definitions: networks by name.
            seeds: seeds with which each network is trained.
            costs: seconds of a training step of each network.
            jobs: number of trainings in parallel.

        Yields:
            The result of each training when it ends.
        """
        trainings = [
            Training(network=name, definition=definition, seed=seed, minutes=self.minutes, seconds_per_step=costs[name])
            for seed in seeds
            for name, definition in definitions.items()
        ]
        todo = [training for training in trainings if not self.result_file(training).is_file()]
        with ThreadPoolExecutor(jobs) as pool:
            futures = {pool.submit(self.train_in_child, training): training for training in todo}
            try:
                yield from (
                    done.result() for done in tqdm(as_completed(futures), total=len(futures), disable=hides_bars())
                )
            finally:
                pool.shutdown(cancel_futures=True)

    def train_in_child(self, training: Training) -> TrainingResult:
        """Run a training in a child process on one thread; its folder is deleted when the result is written."""
        folder, result = self.output / training.name, self.result_file(training)
        identity: dict[str, Any] = {"network": training.network, "seed": training.seed}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return TrainingResult(**identity, error=one_line(error))
        write_json(folder / TASK, {"training": asdict(training), "config": self.config, "overrides": self.overrides})
        command = [sys.executable, "-m", __name__, str(folder), str(result)]
        environment = os.environ | thread_environment(1)
        with (folder / LOG).open("w", encoding="utf-8") as log:
            code = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False).returncode
        if code == 0:
            shutil.rmtree(folder)
            return TrainingResult(**read_json(result))
        output = (folder / LOG).read_text(encoding="utf-8", errors="replace")
        return TrainingResult(**identity, error=ChildError(training.name, code, output).reason)

    def report(self, names: Sequence[str], seeds: Sequence[int]) -> str:
        """Compare the finished trainings with those of the first network, and write `ablation.json`.

        Returns:
            The comparison as a table, the best network first.
        """
        costs = read_json(self.output / "costs.json")
        seconds = {name: costs[name]["seconds"] for name in names if name in costs}
        records = compare_networks({name: self.results(name, seeds) for name in names}, seconds)
        write_json(self.output / "ablation.json", {"minutes": self.minutes, "networks": records})
        return comparison_table(records, names[0])

    def results(self, name: str, seeds: Sequence[int]) -> list[TrainingResult]:
        """Read the results of the finished trainings of a network."""
        trainings = [
            Training(network=name, definition={}, seed=seed, minutes=self.minutes, seconds_per_step=0.0)
            for seed in seeds
        ]
        files = map(self.result_file, trainings)
        return [TrainingResult(**read_json(file)) for file in files if file.is_file()]

    def result_file(self, training: Training) -> Path:
        """Return the file that keeps the result of a training."""
        return self.output / f"{training.name}.json"


def slug(network: str) -> str:
    """Return the name of a network as it occurs in file names."""
    return re.sub("[^a-zA-Z0-9]+", "-", network)


def network_def(config: Mapping[str, Any], definition: Definition) -> dict[str, Any]:
    """Return the definition of a network with the channels in and out of a bundle's network."""
    channels = {name: config["network_def"][name] for name in ("in_channels", "out_channels")}
    return {**definition, **channels}


def train_network(folder: Path, result: Path) -> None:
    """Run or resume the training that a folder describes, and write its result."""
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
    write_json(folder / "train.json", config)
    torch.set_num_threads(1)
    workflow = ConfigWorkflow(str(folder / "train.json"), workflow_type="train")
    workflow.initialize()
    workflow.run()
    evaluator = workflow.parser.get_parsed_content("validate::evaluator")
    cases = [case["case"] for case in workflow.parser.get_parsed_content("split")["validation"]]
    dice = evaluator.state.metric_details[evaluator.state.key_metric_name].nanmean(dim=1).tolist()
    network = workflow.parser.get_parsed_content("network")
    trained = TrainingResult(
        network=training.network,
        seed=training.seed,
        steps=epochs * steps_per_epoch,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        dice=dict(zip(cases, dice, strict=True)),
    )
    write_json(result, asdict(trained))


if __name__ == "__main__":
    train_network(Path(sys.argv[1]), Path(sys.argv[2]))
