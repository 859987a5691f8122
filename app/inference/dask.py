"""Segment the cases of a run on the workers of a Dask scheduler.

The command decides which cases to segment and keeps the record; a worker loads the bundle once, segments one case at a
time and writes its results. What Dask does is left to Dask: it shares the cases among the workers, also those that come
and go, and gives a case to another worker when one dies.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from warnings import catch_warnings, filterwarnings, simplefilter

from hybridseg.app.runtime.console import WARNING_MODULE, one_line, say
from hybridseg.app.runtime.distributed import world_size
from hybridseg.app.runtime.folder_lock import LOCK, read_holder
from hybridseg.app.runtime.machine import versions
from hybridseg.app.runtime.threads import use_threads
from hybridseg.transforms.datasets.input_case import InputCase
from hybridseg.transforms.extras import install_command
from hybridseg.transforms.io.dicom.series import DicomFolder
from hybridseg.transforms.io.limits import limit_memory

from .cohort import PredictedCase
from .existing import Work
from .provenance import shown_setting
from .segmenter import Rows, Segmenter

if TYPE_CHECKING:
    from distributed import Future

DEATHS = 3
"""A case fails when this many workers died while they segmented it."""
CASES_PER_THREAD, LEAST_AT_DASK = 4, 16
"""Cases that the scheduler has at once; so many that adaptive clusters see that there is work."""
CONNECTING = "30s"
"""How long a scheduler may take to answer."""
COMPARED = ("bundle", "bundle version", "inference.json", "weights")
"""What a worker must have in common with the command; see `shown_setting`."""
RETURNED = ("input_states", "outcome", "seconds", "peak_memory_bytes", "notes", "error", "outside", "unwritten")
"""What a worker adds to the record of a case."""


def check_dask() -> None:
    """Check that cases can be handed to Dask.

    Raises:
        ValueError: its packages are not installed, or this is one of several processes.
    """
    if find_spec("distributed") is None:
        raise ValueError(f"dask: distributed is not installed: {install_command('dask')}")
    if world_size() > 1:
        raise ValueError(f"dask: WORLD_SIZE is {world_size()}: must be used in one process, without torchrun")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What workers need to know of a run; all paths are absolute.

    Args:
        describe: returns what would make the label maps, as the worker finds it; see `describe_settings`.
        load: loads the bundle; takes `settings`.
        settings: what makes the label maps, as the command found it.
        output: output folder of the run.
        threads: CPU threads for a case; None leaves them as the worker has them.
        max_memory: most bytes that a case may need; None for what is free.
    """

    describe: Callable[[], Mapping[str, Any]]
    load: Callable[[Mapping[str, Any]], Segmenter]
    settings: Mapping[str, Any]
    output: Path
    threads: int | None = None
    max_memory: int | None = None
    name: str = field(default_factory=lambda: f"predict-{uuid4().hex}")
    holder: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "holder", read_holder(self.output / LOCK))

    def check_bundle(self) -> None:
        """Check that this worker finds the bundle and the weights of the command.

        Raises:
            ValueError: it does not.
        """
        found = self.describe()
        for name in COMPARED:
            here, there = shown_setting(name, found), shown_setting(name, self.settings)
            if here != there:
                raise ValueError(f"{name} {here}, not {there}: workers must read the same bundle and weights")

    def check_output(self) -> None:
        """Check that this worker sees the output folder, and that the run still holds it.

        Raises:
            ValueError: it does not, or the run has ended.
        """
        if not self.output.is_dir() or read_holder(self.output / LOCK) != self.holder:
            raise ValueError(f"output: {self.output}: not held by the run: must be a folder that all machines share")

    def check(self) -> str | None:
        """Return why this worker cannot segment the cases, in one line; None if it can."""
        try:
            self.check_output()
            self.check_bundle()
        except Exception as error:
            return one_line(error)
        return None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a worker returns of a case.

    Args:
        record: the record of the case.
        rows: its statistics.
        settings: what made its label map: also the machine.
        warnings: what to print about its files, a line each.
    """

    record: PredictedCase
    rows: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    warnings: Sequence[str]


_one_case = Lock()
_loaded: dict[str, Segmenter] = {}
"""The bundle that this worker has loaded, by name of the job: at most one."""


def segment_case(job: Job, case: InputCase, record: PredictedCase) -> Answer:
    """Segment a case in a worker, and write its results.

    Raises:
        ValueError: this worker cannot segment the cases of the run.
    """
    from distributed import get_worker

    worker = get_worker()
    rows: Rows = {}
    with _one_case, use_threads(job.threads), limit_memory(job.max_memory), catch_warnings(record=True) as caught:
        simplefilter("ignore")
        filterwarnings("always", category=UserWarning, module=re.escape(WARNING_MODULE))
        worker.log_event(job.name, record.case)
        segmenter = _loaded.get(job.name)
        if segmenter is None:
            if problem := job.check():
                raise ValueError(f"dask: {worker.address}: {problem}")
            _loaded.clear()
            segmenter = _loaded[job.name] = replace(job.load(job.settings), before_writing=job.check_output)
        (done,) = segmenter.run([(case, record)], rows)
    lines = [str(warning.message) for warning in caught]
    return Answer(record=done, rows=rows.get(done.case, ()), settings=segmenter.settings, warnings=lines)


def unload(job: str) -> None:
    """Free the memory of the bundle that this worker has loaded for a job."""
    _loaded.pop(job, None)


@dataclass(kw_only=True)
class DaskSegmenter:
    """Segments cases as `Segmenter` does, on the workers of a Dask scheduler.

    Args:
        client: the connection to the scheduler, a `distributed.Client`, whose types are those of asynchronous use.
        address: what the user calls the scheduler.
        job: what the workers need to know.

    Attributes:
        settings: what made the label map of the case that was yielded last; at first, what is known of all.
    """

    client: Any
    address: str
    job: Job

    def __post_init__(self) -> None:
        self.settings: Mapping[str, Any] = {"versions": versions(), **self.job.settings}
        self.started: Counter[str] = Counter()
        """How often a worker started each case."""

    def check_workers(self) -> None:
        """Check the workers that are there; those that come later are checked before their first case.

        Without any, say so: the cases wait until one comes.

        Raises:
            ValueError: a worker has no HybridSeg, another version, another bundle or another output folder.
        """
        if not self.client.nthreads():
            say("predict", f"dask: {self.address}: the scheduler has no workers: waiting until one starts")
        own = version("hybridseg")
        for worker, found in self.client.run(version, "hybridseg", on_error="return").items():
            if isinstance(found, Exception):
                raise ValueError(f"dask: {worker}: HybridSeg is not installed: must be version {own}, as here")
            if found != own:
                raise ValueError(f"dask: {worker}: HybridSeg {found}: must be version {own}, as here")
        for worker, problem in self.client.run(self.job.check, on_error="return").items():
            if problem is not None:
                line = one_line(problem) if isinstance(problem, Exception) else problem
                raise ValueError(f"dask: {worker}: {line}")

    def run(self, work: Sequence[Work], rows: Rows) -> Iterator[PredictedCase]:
        """Segment cases; see `Segmenter.run`. Those that are not done are cancelled when the generator is closed.

        Raises:
            ValueError: a worker cannot segment the cases, or the scheduler is gone.
        """
        from distributed import KilledWorker, as_completed
        from distributed.comm import CommClosedError

        waiting = deque(work)
        running: dict[Future, Work] = {}
        rounds: Counter[str] = Counter()
        done = as_completed(loop=self.client.loop)
        self.client.subscribe_topic(self.job.name, self.note_start)
        try:
            while waiting or running:
                while waiting and len(running) < self.most_running():
                    future = self.submit(*waiting[0], rounds[waiting[0][0].name])
                    running[future] = waiting.popleft()
                    done.add(future)
                future = next(done)
                case, record = running.pop(future)
                if future.status in ("cancelled", "lost"):
                    raise OSError(f"the case was {future.status}")
                try:
                    answer = future.result()  # a result that is lost with its worker is computed again
                except KilledWorker:
                    rounds[case.name] += 1
                    if self.started[case.name] < DEATHS and rounds[case.name] < DEATHS:
                        waiting.append((case, record))  # it waited on workers that died under other cases
                        continue
                    record.fail(f"{', '.join(record.inputs)}: {DEATHS} workers or more died while they segmented it")
                except CommClosedError:
                    raise
                except Exception as error:
                    line = one_line(error)
                    raise ValueError(line if line.startswith("dask: ") else f"dask: a worker: {line}") from error
                else:
                    self.take(answer, record, rows)
                yield record
        except OSError as error:
            rule = "must run until the cases are done; start it again and repeat the command to continue"
            raise ValueError(f"dask: {self.address}: lost the scheduler: {rule}") from error
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self.client.cancel(list(running), force=True)
                self.client.run(unload, self.job.name)

    def submit(self, case: InputCase, record: PredictedCase, attempt: int) -> Future:
        """Hand a case to the scheduler."""
        case = with_absolute_paths(case)
        record = replace(record, inputs=[str(image) for image in case.images])
        return self.client.submit(segment_case, self.job, case, record, key=(self.job.name, case.name, attempt))

    def most_running(self) -> int:
        """Return how many cases the scheduler should have at once."""
        return max(LEAST_AT_DASK, CASES_PER_THREAD * sum(self.client.nthreads().values()))

    def note_start(self, event: tuple[float, Any]) -> None:
        """Note that a worker started a case; `event` is a time and its name."""
        self.started[event[1]] += 1

    def take(self, answer: Answer, record: PredictedCase, rows: Rows) -> None:
        """Take over what a worker returned of a case."""
        for name in RETURNED:
            setattr(record, name, getattr(answer.record, name))
        rows[record.case] = answer.rows
        self.settings = answer.settings
        for line in answer.warnings:
            say("predict", line)


@contextmanager
def connect(address: str, job: Job) -> Iterator[DaskSegmenter]:
    """Connect to a Dask scheduler, and check its workers.

    Args:
        address: its address, such as `tcp://host:8786`, or its scheduler file.
        job: what the workers need to know.

    Raises:
        ValueError: no scheduler answers, or a worker cannot segment the cases.
    """
    from distributed import Client

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it prints tracebacks of what is raised here
    place: dict[str, Any] = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    with ExitStack() as held:
        try:
            client = held.enter_context(Client(**place, timeout=CONNECTING, set_as_default=False))
        except Exception as error:
            rule = "must be the address of a running scheduler, such as tcp://host:8786, or its scheduler file"
            raise ValueError(f"dask: {address}: no connection: {rule}") from error
        segmenter = DaskSegmenter(client=client, address=address, job=job)
        segmenter.check_workers()
        yield segmenter


def with_absolute_paths(case: InputCase) -> InputCase:
    """Return a case that workers find from any working directory."""
    images = [
        replace(image, path=image.path.absolute()) if isinstance(image, DicomFolder) else image.absolute()
        for image in case.images
    ]
    return InputCase(case.name, tuple(images))
