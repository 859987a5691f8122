"""`hybridseg store`: list and prune the prepared cases of a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hybridseg.app.runtime.console import align
from hybridseg.app.runtime.options import check_at_least

from .command import Command


@dataclass
class StoreCommand(Command):
    """List the prepared cases of a training's store, or remove those that nothing needs any more.

    The store is the folder `prepared` in the folder of a run, or the one that `train --store` named.
    """

    examples = ("runs/liver/prepared", "runs/liver/prepared --prune --days 7")

    store: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="STORE")]]
    """Folder of prepared cases."""
    prune: bool = False
    """Remove cases that no training can use, since their files or HybridSeg changed, or none used for `--days`."""
    days: Annotated[int, tyro.conf.arg(metavar="N")] = 30
    """Days without use after which `--prune` removes a case."""

    def run(self) -> int:
        """List or prune.

        Returns:
            0.

        Raises:
            ValueError: the folder is not a store.
            OSError: it cannot be read.
        """
        check_at_least(0, days=self.days)
        if not self.store.is_dir():
            raise ValueError(f"store: {self.store}: not a folder: must be a store of prepared cases")
        from hybridseg.transforms.store import prune, stored_cases

        cases = list(prune(self.store, self.days) if self.prune else stored_cases(self.store))
        cases.sort(key=lambda item: (item.case, item.days))
        rows = [[item.case or "-", f"{item.size / 1e6:.1f} MB", f"{item.days:.0f} days", item.state] for item in cases]
        lines = [*align([["case", "size", "unused for", ""], *rows]), ""] if rows else []
        done = "removed" if self.prune else "prepared"
        lines.append(f"{len(cases)} cases {done}, {sum(item.size for item in cases) / 1e9:.2f} GB")
        entries = [{"case": item.case, "bytes": item.size, "days": item.days, "state": item.state} for item in cases]
        self.show({"removed": self.prune, "cases": entries}, "\n".join(lines))
        return 0
