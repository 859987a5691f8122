"""Start a training: alone in its run folder, and not longer than the process that started it."""

from __future__ import annotations

from pathlib import Path

from hybridseg.app.runtime.config_values import broken_rule
from hybridseg.app.runtime.folder_lock import hold_folder
from hybridseg.app.runtime.parent import watch_parent
from hybridseg.bundles import running_configs, running_options
from hybridseg.transforms.io.json_files import read_json


def start_run(run_dir: str | Path) -> None:
    """Create the folder of a run, hold it until this process ends, and end when the starting process ends.

    Raises:
        ValueError: a value of the config that MONAI runs is invalid, or another run holds the folder.
        OSError: the folder cannot be created.
    """
    check_running()
    folder = Path(run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    hold_folder(folder, "run_dir")
    watch_parent()


def check_running() -> None:
    """Check the values in the configs that MONAI's command line runs, and those that it sets itself.

    Raises:
        ValueError: a value is invalid.
    """
    from fire.parser import DefaultParseValue

    configs = running_configs()
    for path in configs:
        if path.suffix == ".json" and (broken := broken_rule(read_json(path))):
            raise ValueError(f"{path}: {': '.join(broken)}")
    set_there = running_options() if configs else {}  # otherwise they are options of another program
    if broken := broken_rule({key: DefaultParseValue(value) for key, value in set_there.items()}):
        raise ValueError(f"--{': '.join(broken)}")
