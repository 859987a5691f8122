"""Cases of a training, each prepared once: in a store on disk, of which a patch reads its part, or in memory."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import psutil
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, RandomizableTrait
from monai.utils import optional_import
from torch.utils.data import Dataset as TorchDataset

from hybridseg.app.runtime.console import cause
from hybridseg.app.runtime.distributed import rank, world_size
from hybridseg.app.runtime.machine import peak_memory
from hybridseg.app.runtime.threads import available_processors
from hybridseg.transforms.errors import PathLike, VolumeError
from hybridseg.transforms.patches import POSITIONS, RandPatchesd, label_positions, small_integers
from hybridseg.transforms.pipelines import IMAGE, LABEL
from hybridseg.transforms.store import Store, folder_size, is_ready, mark_used, open_case
from hybridseg.transforms.store.identity import case_digest, files_of, read_digest

logger = logging.getLogger("hybridseg.training")
tqdm, has_tqdm = optional_import("tqdm", name="tqdm")
HAS_BLOSC2 = bool(find_spec("blosc2"))

Case = Mapping[Any, Any]
T = TypeVar("T")

THREADS = 2
"""That prepare cases for memory; a third would mostly wait for Python."""
WORTH_A_PROCESS = 5.0
"""Seconds of work for which another process is started."""
ROOM_LEFT = 0.05
"""Share of the free disk space that the store leaves."""


class PreparedDataset(Dataset):
    """Cases that pass the fixed part of a pipeline once, and its random part each time.

    The random part begins with the first random transform. If this is `RandPatchesd`, it gets volumes that are read
    where they are sliced. Without a random part, a case's volumes are read as a whole.

    With a store, missing cases are prepared now, in parallel; a killed training continues where it was. Without one, or
    without blosc2, as in a packed bundle, all cases are prepared now and stay in memory.

    Args:
        data: cases, such as those of `split_cases`.
        transform: the pipeline, flat.
        store: folder of the store; None keeps the cases in memory.
        quota: most GB that the store may take; None allows the free disk space.

    Raises:
        VolumeError: a case cannot be prepared, or the store has no room.
        ValueError: several cases cannot be prepared; each is logged.
    """

    def __init__(
        self, data: Sequence[Case], transform: Compose, store: PathLike | None = None, quota: float | None = None
    ) -> None:
        super().__init__(data, transform)
        first = transform.get_index_of_first(lambda item: isinstance(item, RandomizableTrait))
        self.first = len(transform.transforms) if first is None else first
        fixed, random = transform.transforms[: self.first], transform.transforms[self.first :]
        self.whole = not (random and isinstance(random[0], RandPatchesd))
        self.prepared: list[Path | dict[Hashable, Any]]
        self.store: Store | None = None
        self.digests: Callable[[Path], str] = read_digest
        if store is not None and not HAS_BLOSC2:
            logger.info("prepared cases stay in memory, since blosc2 is not installed")
        if store is None or not HAS_BLOSC2:
            with ThreadPoolExecutor(THREADS) as pool:
                kept = pool.map(lambda case: self.keep(Compose(fixed)(case)), data)
                self.prepared = [*progress(kept, "preparing", len(data))]
        else:
            self.store = Store(store, fixed)
            self.digests = self.store.digests  # which are remembered
            self.prepared = [*fill_store(self.store, data, quota)]

    def case_digests(self) -> dict[str, str]:
        """Return a digest of the content of each case's files by its name, whatever the preprocessing.

        Raises:
            OSError: a file cannot be read.
        """
        cases = ((case, [key for key in (IMAGE, LABEL) if key in case]) for case in self.data)
        return {str(case.get("case")): case_digest(case, keys, self.digests) for case, keys in cases}

    def keep(self, case: Any) -> dict[Hashable, Any]:
        """Return a prepared case as it stays in memory."""
        if self.whole or LABEL not in case:
            return dict(case)
        return {**case, LABEL: small_integers(case[LABEL].as_tensor()), POSITIONS: label_positions(case[LABEL])}

    def open(self, index: int, entry: Path) -> dict[Hashable, Any]:
        """Return a case with the volumes of its entry, which is prepared again if it was removed from the store.

        Raises:
            VolumeError: it was removed, and the files of the case have changed since.
        """
        case = self.data[index]
        try:
            return open_case(case, entry, whole=self.whole)
        except FileNotFoundError:
            assert self.store is not None
            if self.store.entry(case) != entry:
                rule = "files must not change while a training uses them"
                raise VolumeError(entry, "removed, and the files of its case have changed", rule) from None
            logger.warning(f"{entry}: removed while it is used: prepared again")
            self.store.prepare(case)
            return open_case(case, entry, whole=self.whole)

    def _transform(self, index: int) -> Any:
        prepared = self.prepared[index]
        if isinstance(prepared, Path):
            case = self.open(index, prepared)
        elif self.whole:
            case = {key: value.clone() if isinstance(value, MetaTensor) else value for key, value in prepared.items()}
        else:
            case = prepared
        assert isinstance(self.transform, Compose)
        return self.transform(case, start=self.first)


def progress(items: Iterable[T], task: str, total: int) -> Iterable[T]:
    """Show a bar while items are taken, on a terminal and where tqdm is installed."""
    return tqdm(items, task, total, disable=None, leave=False) if has_tqdm else items


def fill_store(store: Store, data: Sequence[Case], quota: float | None) -> list[Path]:
    """Prepare the cases that a store lacks, and return the entry of each case.

    Processes that train together share the work: each begins elsewhere, and skips what another has prepared.

    Raises:
        VolumeError: a case cannot be prepared, or the store has no room.
        ValueError: several cases cannot be prepared; each is logged.
    """
    entries = [store.entry(case) for case in progress(data, "reading", len(data))]
    missing = [index for index, entry in enumerate(progress(entries, "checking", len(data))) if not is_ready(entry)]
    if missing:
        store.folder.mkdir(parents=True, exist_ok=True)
        for entry in (entries[index] for index in missing):
            if entry.is_dir():
                logger.warning(f"{entry}: not complete or damaged: prepared again")
        missing.sort(key=lambda index: input_bytes(store, data[index]))
        typical = missing.pop(len(missing) // 2)
        start = monotonic()
        with peak_memory(torch.device("cpu")) as peak:
            results = [Preparation(store, data, entries)[typical]]
        seconds = (monotonic() - start) * len(missing)
        size = folder_size(entries[typical])
        per_byte = size / max(1, input_bytes(store, data[typical]))
        check_room(store, sum(input_bytes(store, data[index]) for index in missing) * per_byte, len(missing), quota)
        first = len(missing) * rank() // world_size()
        results += prepare(store, data, entries, missing[first:] + missing[:first], workers(seconds, peak[0]))
        raise_failures([error for error in results if error is not None], len(data))
    for entry in entries:
        mark_used(entry)
    return entries


def input_bytes(store: Store, case: Case) -> int:
    """Return the bytes of a case's files."""
    return sum(file.stat().st_size for key in store.keys if key in case for file in files_of(case[key]))


def check_room(store: Store, needed: float, cases: int, quota: float | None) -> None:
    """Log what the store will take, and check that there is room.

    Args:
        store: the store.
        needed: bytes that the missing cases will take, estimated from one of them.
        cases: number of missing cases.
        quota: most GB that the store may take; None allows the free disk space.

    Raises:
        VolumeError: there is no room.
    """
    held = folder_size(store.folder)
    free = shutil.disk_usage(store.folder).free * (1 - ROOM_LEFT)
    room = free if quota is None else min(free, quota * 1e9 - held)
    amount = f"{needed / 1e9:.1f} GB for {cases} more prepared cases"
    logger.info(f"{store.folder}: about {amount} (free: {free / 1e9:.0f} GB)")
    if needed > room:
        rule = "prune it by `hybridseg store`, choose another folder, or raise the quota"
        raise VolumeError(store.folder, f"about {amount}, room for {max(0.0, room) / 1e9:.1f} GB", rule)


def workers(seconds: float, memory: int) -> int:
    """Return how many processes to start for work of some seconds, if one needs some bytes; 0 uses this process."""
    fitting = psutil.virtual_memory().available // max(1, 2 * memory)
    number = min(
        available_processors() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)), fitting, int(seconds / WORTH_A_PROCESS)
    )
    return number if number > 1 else 0


class Preparation(TorchDataset[Any]):
    """Prepares a case when it is asked for: None, or the error if it cannot be prepared.

    Args:
        store: the store.
        data: all cases.
        entries: the entry of each.
    """

    def __init__(self, store: Store, data: Sequence[Case], entries: Sequence[Path]) -> None:
        self.store = store
        self.data = data
        self.entries = entries

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> ValueError | OSError | None:
        if is_ready(self.entries[index]):
            return None
        try:
            self.store.prepare(self.data[index])
        except Exception as error:
            if isinstance(reason := cause(error), ValueError | OSError):
                return reason
            raise
        return None


def prepare(
    store: Store, data: Sequence[Case], entries: Sequence[Path], missing: Sequence[int], processes: int
) -> list[ValueError | OSError | None]:
    """Prepare the missing cases; return None for each, or its error."""
    preparation = Preparation(store, data, entries)
    loader = DataLoader(preparation, sampler=missing, batch_size=None, num_workers=processes, collate_fn=identity)
    return [*progress(loader, "preparing", len(missing))]


def identity(item: T) -> T:
    """Return an item as it is."""
    return item


def raise_failures(failures: Sequence[ValueError | OSError], cases: int) -> None:
    """Raise the error of the case that cannot be prepared; of several, log each.

    Raises:
        ValueError: there is a failure.
        OSError: the only failure is of the disk.
    """
    if len(failures) == 1:
        raise failures[0]
    for failure in failures:
        logger.error(str(failure))
    if failures:
        raise ValueError(f"dataset: {len(failures)} of {cases} cases cannot be prepared: the first: {failures[0]}")
