"""Many recorded drives at once: processes that each make one bag after the other, with a SUMO and a GL context of their own.

What a bag holds depends on its job alone, so it does not matter how many processes there are, nor which makes which.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import cv2

from mimic_contracts.errors import MimicError
from mimic_sim.record_jobs import Job, make

STEP = 0.01  # of a job, between two messages about how far it is


@dataclass(eq=False)
class _Worker:
    """A process, the pipe to it, and what it is doing."""

    process: Any
    pipe: Connection
    job: Job
    share: float = 0.0

    def begin(self, job: Job) -> None:
        self.job, self.share = job, 0.0
        self.pipe.send(job)


def make_all(jobs: Sequence[Job], out: Path, *, processes: int, on_share: Callable[[float], None], on_answer: Callable[[Job, dict[str, Any]], None]) -> None:
    """Make all bags in OUT. on_share: told of each step forward, in jobs; on_answer: of each answer, as they are finished.

    Raises the MimicError of the first job that fails, and ends the others.
    """
    context = multiprocessing.get_context("spawn")
    waiting = deque(jobs)
    workers: list[_Worker] = []
    try:
        while waiting and len(workers) < processes:
            workers.append(_start(context, out, waiting.popleft()))
        busy = {worker.pipe: worker for worker in workers}
        while busy:
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                said = _heard(worker)
                if isinstance(said, float):
                    on_share(said - worker.share)
                    worker.share = said
                    continue
                on_share(1.0 - worker.share)
                on_answer(worker.job, said)
                if waiting:
                    worker.begin(waiting.popleft())
                else:
                    del busy[pipe]  # type: ignore[arg-type]
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()


def _start(context: Any, out: Path, job: Job) -> _Worker:
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, out), daemon=True)
    process.start()
    there.close()
    worker = _Worker(process, here, job)
    worker.begin(job)
    return worker


def _heard(worker: _Worker) -> Any:
    """How far a worker is (a float), or its answer (a mapping)."""
    try:
        said = worker.pipe.recv()
    except EOFError as error:
        worker.process.join()
        raise MimicError(f"{worker.job.name}: its process ended with {worker.process.exitcode}; go on with --resume") from error
    if isinstance(said, MimicError):
        raise MimicError(f"{worker.job.name}: {said}; go on with --resume") from said
    return said


def _work(pipe: Connection, out: Path) -> None:
    """Make the bag of each job that arrives, until the process is ended."""
    os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa has no other way: drawing in this thread alone, as the others work too
    cv2.setNumThreads(1)
    while True:
        try:
            job = pipe.recv()
            pipe.send(make(job, out, _telling(pipe)))
        except MimicError as error:
            pipe.send(MimicError(str(error)))
        except (EOFError, BrokenPipeError, KeyboardInterrupt):
            return


def _telling(pipe: Connection) -> Callable[[float], None]:
    told = 0.0

    def tell(share: float) -> None:
        nonlocal told
        if share - told >= STEP:
            told = share
            pipe.send(share)

    return tell
