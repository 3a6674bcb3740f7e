"""Processes that share work on a processor: of a batch, say, each learns from its part, and the mean counts.

Two threads of one process wait for each other after every operation of a small network; two processes do so once a step.
"""

import multiprocessing
import os
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Team:
    """rank: which process of how many (size) this is; the first one, 0, is the one that was there before."""

    rank: int = 0
    size: int = 1

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Put the mean over the processes in place of each gradient; all processes have to call it alike."""
        if self.size == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters if p.requires_grad]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, mean in zip(gradients, (flat / self.size).split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def meet(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def gathered(size: int, work: Callable[[Team], None]) -> Iterator[Team]:
    """A team of this process and of `size` - 1 copies of it, which do `work` and end with the block."""
    if size == 1:
        yield Team()
        return
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # they are all on this machine
    with tempfile.TemporaryDirectory(prefix="mimic_team_") as folder:
        meeting = f"file://{Path(folder) / 'meeting'}"
        context = multiprocessing.get_context("fork")
        others = [context.Process(target=_join, args=(Team(rank, size), meeting, work), daemon=True) for rank in range(1, size)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lance, which no copy uses, does not like to be copied
            for other in others:
                other.start()
        try:
            distributed.init_process_group("gloo", init_method=meeting, rank=0, world_size=size)
            yield Team(0, size)
        finally:
            for other in others:
                other.terminate()
                other.join()
            if distributed.is_initialized():
                distributed.destroy_process_group()


def _join(team: Team, meeting: str, work: Callable[[Team], None]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides when to end,
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # and does so like this
    distributed.init_process_group("gloo", init_method=meeting, rank=team.rank, world_size=team.size)
    work(team)
    signal.pause()  # the connection must last until the first process has taken its last step
