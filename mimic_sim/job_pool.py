"""Jobs in worker processes: as many at once as there are cores, and one that hangs or dies harms no other.

A job's work is a picklable function of a Watch. SUMO is global in a process, so that a drive needs one to itself; every
worker keeps to one thread, so that what it computes depends neither on the number of workers nor on what they did before.
"""

import logging
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from typing import Any

from mimic_contracts.errors import MimicError

POLL_S = 0.1
ASKED, PROGRESS = 0, 1  # in the numbers that a worker shares with us
DONE, FAILED, AGAIN = "done", "failed", "again"  # how work ends
SUMO = "SUMO:"  # how its errors begin: they lie with it, and not with the work
ONE_THREAD = {**dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"), "LP_NUM_THREADS": "0"}  # Mesa: none besides its own


class Watch:
    """What a job tells of itself while it works, past any lock: when the policy was asked, how much is done."""

    def __init__(self, shared: Any) -> None:
        self._shared = shared

    def progress(self, share: float) -> None:
        """How much of the job is done, 0 to 1."""
        self._shared[PROGRESS] = share

    @contextmanager
    def policy_thinks(self) -> Iterator[None]:
        """Around whatever a user's policy does: it has its budget of time for it, and is to blame when the process ends."""
        self._shared[ASKED] = time.monotonic()
        try:
            yield
        except Exception:
            self._shared[ASKED] = 0.0
            raise
        self._shared[ASKED] = 0.0


@dataclass(frozen=True)
class Job:
    """work: does it, and returns what there is to say about it; raises MimicError when it can't be done."""

    name: str
    work: Callable[[Watch], str]


@dataclass(frozen=True)
class Outcome:
    """ended: DONE, FAILED, or AGAIN when it will be repeated; text: what the job says of itself, or the reason."""

    job: Job
    ended: str
    text: str


def run_jobs(jobs: Sequence[Job], *, processes: int, budget_s: float, on_progress: Callable[[float], None] = lambda share: None) -> Iterator[Outcome]:
    """Do all jobs, at most `processes` at once, and give each one's outcome as soon as it is there.

    A job fails by its MimicError, or any other; when its policy thinks for longer than budget_s, for which its process is
    killed; or when its process dies. Where it is SUMO's error, or the process died while no policy was thinking, the job
    is repeated once. on_progress: told now and then how many jobs' worth of work is done in those under way.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit SUMO and GL contexts
    waiting, repeated = deque(jobs), set[str]()
    workers = [_Worker(context) for _ in range(min(processes, len(jobs)))]
    try:
        while waiting or any(worker.job for worker in workers):
            for i, idle in enumerate(workers):
                if idle.job is None and waiting:
                    workers[i] = idle if idle.is_alive else _Worker(context)
                    workers[i].begin(waiting.popleft())
            wait([worker.connection for worker in workers if worker.job], POLL_S)
            for worker in workers:
                job = worker.job
                answer = None if job is None else worker.answer(budget_s)
                if job is None or answer is None:
                    continue
                worker.job = None
                ended, text = answer
                if ended != DONE:
                    worker.end()  # who knows what is left in there
                if ended == AGAIN and job.name in repeated:
                    ended = FAILED
                elif ended == AGAIN:
                    repeated.add(job.name)
                    waiting.append(job)
                yield Outcome(job, ended, text)
            on_progress(sum(worker.progress for worker in workers if worker.job))
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process, seen from outside."""

    def __init__(self, context: SpawnContext) -> None:
        self.job: Job | None = None
        self._shared = context.RawArray("d", 2)
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._shared), daemon=True)
        with _environment(ONE_THREAD):
            self._process.start()
        theirs.close()

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    @property
    def progress(self) -> float:
        return min(max(self._shared[PROGRESS], 0.0), 1.0)

    def begin(self, job: Job) -> None:
        self.job = job
        self._shared[ASKED] = self._shared[PROGRESS] = 0.0
        self.connection.send(job.work)

    def answer(self, budget_s: float) -> tuple[str, str] | None:
        """How the job ended and the text about it; None while it goes on."""
        asked_s = self._shared[ASKED]
        try:
            if self.connection.poll():
                return self.connection.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            code = self._process.exitcode or 0
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            return (FAILED, f"the policy ended its process ({how})") if asked_s else (AGAIN, f"{SUMO} its process died ({how})")
        if asked_s and time.monotonic() - asked_s > budget_s:
            return FAILED, f"the policy took longer than its budget of {budget_s:g} s for a plan, {100.0 * self.progress:.0f} % of the way along"
        return None

    def end(self) -> None:
        """At once, whatever it does."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, shared: Any) -> None:
    """A process, seen from inside: it does what arrives until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us decides when it is over
    watch = Watch(shared)
    while True:
        try:
            work = connection.recv()
        except EOFError:
            return
        connection.send(_outcome(work, watch))


def _outcome(work: Callable[[Watch], str], watch: Watch) -> tuple[str, str]:
    try:
        return DONE, work(watch)
    except MimicError as error:
        return AGAIN if str(error).startswith(SUMO) else FAILED, str(error)
    except Exception as error:  # one broken route is no reason to throw the others away
        logging.getLogger(__name__).exception("a job raised")
        return FAILED, f"{type(error).__name__}: {error}"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Other environment variables for a process that starts now."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
