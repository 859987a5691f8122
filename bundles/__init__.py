"""The shipped bundles, found by name; any other bundle is found by its folder."""

import sys
from ast import literal_eval
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

__all__ = ["bundle_names", "bundle_path", "running_bundle", "running_configs", "running_options"]


def bundle_names() -> list[str]:
    """Return the names of the shipped bundles in alphabetical order."""
    return sorted(folder.name for folder in _shipped().iterdir() if _is_bundle(folder))


def bundle_path(name: str | Path) -> Path:
    """Find the folder of a bundle.

    Args:
        name: name of a shipped bundle, or path of any folder that holds `configs/metadata.json`. A shipped name wins
            over a folder of the same name in the working directory; name that one by its absolute path.

    Returns:
        The absolute path of the bundle's folder.

    Raises:
        ValueError: `name` is neither of these.
    """
    names = bundle_names()
    if name in names:
        return _shipped() / name
    folder = Path(name)
    if not _is_bundle(folder):
        raise ValueError(
            f"bundle: {str(name)!r}: must be the name of a shipped bundle ({', '.join(names) or 'none are installed'}) "
            "or a folder that holds configs/metadata.json"
        )
    return folder.resolve()


def running_bundle() -> str:
    """Find the bundle that MONAI's command line runs: the default of `bundle_root` in the configs.

    Returns:
        The bundle of the first `--config_file` on the command line, so that a copied bundle runs with its own weights
        from any working directory. Without that option, the bundle that this code was packed with, or else the working
        directory, `.`, as in the model zoo.
    """
    packed = Path(__file__).resolve().parents[2]
    default = str(packed) if _is_bundle(packed) else "."
    configs = running_configs()
    folder = configs[0].resolve().parent.parent if configs else packed
    return str(folder) if _is_bundle(folder) else default


def running_configs() -> list[Path]:
    """Return the files of `--config_file` on MONAI's command line; empty without that option."""
    value = running_options().get("config_file")
    if value is None:
        return []
    return [Path(file) for file in (literal_eval(value) if value.startswith(("[", "(")) else [value])]


def running_options() -> dict[str, str]:
    """Return the options of MONAI's command line by name, such as `config_file`, with `_` where they have `-`."""
    words = [part for word in sys.argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
    pairs = [(option, value) for option, value in pairwise(words) if option.startswith("--")]
    return {option.removeprefix("--").replace("-", "_"): value for option, value in pairs}


def _is_bundle(folder: Path) -> bool:
    return (folder / "configs" / "metadata.json").is_file()


def _shipped() -> Path:
    return Path(str(files(__name__)))
