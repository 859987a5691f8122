"""Write the table of `reference/mixers.md` from the registry: `python docs/mixer_table.py`."""

from __future__ import annotations

import re
from pathlib import Path

from hybridseg.networks.inspection import mixer_table

PAGE = Path(__file__).parent / "reference" / "mixers.md"
TABLE = re.compile(r"^\| mixer \|.*?(?=\n\n)", re.MULTILINE | re.DOTALL)
"""The table of the page, up to an empty line."""

if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: mixer_table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
