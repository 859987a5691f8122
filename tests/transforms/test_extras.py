"""What a message tells the user to install can be installed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"install_command\(['\"](\w+)['\"]\)|pip install '\.\[([\w,]+)\]'")


def test_every_extra_that_is_named_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    texts = [*(ROOT / "app").rglob("*.py"), *(ROOT / "transforms").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    found = [match for path in texts for match in NAMED.findall(path.read_text(encoding="utf-8"))]
    named = {name for first, second in found for name in (first or second).split(",")}
    assert {"dicom", "export", "mlflow", "notebooks", "wandb"} <= named <= extras.keys()
