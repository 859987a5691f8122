"""NiiVue, the WebGL viewer of volumes (niivue.com, BSD-2-Clause), taken out of the package ipyniivue.

ipyniivue's own script shows widgets of Jupyter only. It holds NiiVue once more, as a module in a percent-encoded text,
from which `save_html` makes pages of their own; this is what a page without Jupyter can use.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

from hybridseg.transforms.extras import install_command

PACKAGE, SCRIPT = "ipyniivue", "static/widget.js"
ENCODED = re.compile(r'="((?:[\w.!~*\'()-]|%[0-9A-F]{2}){500000,})"', re.ASCII)
"""The module within the script: a text of this length that `encodeURIComponent` could have made."""
EXPORTS = re.compile(r"export\s*\{([^{}]*)\};?\s*$")
"""The end of the module, where it names what it exports."""


@cache
def niivue_script() -> str:
    """Return NiiVue as a script that defines `niivue`, whose members are the exports of its module.

    A script, unlike a module, also runs in a page that is opened from a disk.

    Raises:
        ValueError: ipyniivue is not installed, or is of a version that is built differently.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"{PACKAGE}: not installed: the viewer needs it: {install_command('view')}")
    path = Path(spec.submodule_search_locations[0]) / SCRIPT
    encoded = ENCODED.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    module = unquote(encoded[1]) if encoded else ""
    exports = EXPORTS.search(module)
    if exports is None:
        raise ValueError(f"{path}: no NiiVue in it: must be of a tested version: {install_command('view')}")
    names = [name.split(" as ") for name in exports[1].split(",")]
    members = ", ".join(f"{name[-1].strip()}: {name[0].strip()}" for name in names)
    body = f'"use strict";\n{module[: exports.start()]}\nreturn {{{members}}};'
    return f"{notice()}\nconst niivue = (() => {{\n{body}\n}})();\n"


def notice() -> str:
    """Return a comment that says where NiiVue is from, with its licence."""
    package = distribution(PACKAGE)
    texts = [file.read_text(encoding="utf-8") for file in package.files or () if file.name == "LICENSE"]
    lines = [f"NiiVue (niivue.com), from {PACKAGE} {package.version}", "", *"\n".join(texts).splitlines()]
    return "\n".join(f"// {line}".rstrip() for line in lines)
