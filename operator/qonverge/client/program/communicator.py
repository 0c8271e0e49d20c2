"""MPI's communicator of all ranks, in which waiting takes no processor. Importing it starts MPI."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from mpi4py import MPI

_SHORTEST_SECONDS = 0.000_05
_LONGEST_SECONDS = 0.002


class Communicator(MPI.Intracomm):
    """``MPI.COMM_WORLD``, whose collective operations sleep until every rank has called them.

    An MPI library asks for news without a pause while it waits. A rank waits for as long as the quantum tasks of others
    take, and would keep a processor busy that these are simulated on.
    """

    def __new__(cls) -> Communicator:
        """Return the communicator of all ranks."""
        return super().__new__(cls, MPI.COMM_WORLD)

    def meet(self) -> None:
        """Return when all ranks have called it."""
        arrived, pause = self.Ibarrier(), _SHORTEST_SECONDS
        while not arrived.Test():
            time.sleep(pause)
            pause = min(_LONGEST_SECONDS, 2 * pause)


def library() -> str:
    """Return the name and version of the MPI library."""
    lines = MPI.Get_library_version().splitlines()
    return " ".join(lines[0].split()) if lines else "an unknown library"


def _patient(own: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(own)
    def call(self: Communicator, *arguments: Any, **named: Any) -> Any:
        self.meet()
        return own(self, *arguments, **named)

    return call


# In lower case those for any object, in upper case those for arrays; see mpi4py.
_BOTH = ("barrier", "bcast", "scatter", "gather", "allgather", "alltoall", "reduce", "allreduce", "scan", "exscan")
_OF_ARRAYS = ("Scatterv", "Gatherv", "Allgatherv", "Alltoallv", "Reduce_scatter", "Reduce_scatter_block")
for _name in (*_BOTH, *(name.capitalize() for name in _BOTH), *_OF_ARRAYS):
    setattr(Communicator, _name, _patient(getattr(MPI.Intracomm, _name)))
