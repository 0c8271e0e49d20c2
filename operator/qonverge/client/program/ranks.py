"""Which rank of a parallel program this process is, and how it reaches the others."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from qonverge.client.errors import NotConfigured

if TYPE_CHECKING:
    from qonverge.client.program.communicator import Communicator


def rank() -> int:
    """Return the number of this process among the ranks of its program, from 0; 0 where it is alone."""
    return int(os.environ.get("QONVERGE_RANK", "0"))


def world_size() -> int:
    """Return how many ranks the program has; 1 where it is alone."""
    return int(os.environ.get("QONVERGE_WORLD_SIZE", "1"))


def choose_backend(environment: MutableMapping[str, str]) -> None:
    """Let the environment name the backend of this rank where ranks call several; see ``objects/ranks.py``."""
    urls = environment.get("QONVERGE_BACKEND_URLS", "").split()
    if not urls:
        return
    group = int(environment["QONVERGE_RANK"]) // int(environment["QONVERGE_RANKS_PER_BACKEND"])
    environment["QONVERGE_BACKEND_URL"] = urls[group]
    if group:
        environment["QONVERGE_TOKEN_FILE"] += f"-{group}"


def communicator() -> Communicator:
    """Return what all ranks talk through: ``mpi4py.MPI.COMM_WORLD``, but ranks that wait for others sleep.

    All ranks must call it. The first call, or the first import of ``mpi4py.MPI``, waits until all ranks have started.

    Raises:
        ImportError: mpi4py is not installed.
        NotConfigured: its MPI does not know of the other ranks.
    """
    try:
        from qonverge.client.program.communicator import Communicator, library
    except ModuleNotFoundError as error:
        raise ImportError(f'communicator needs {error.name}: pip install "qonverge[parallel]"') from None
    world = Communicator()
    if world.Get_size() != world_size():
        raise NotConfigured(
            f"MPI sees {world.Get_size()} of {world_size()} ranks: mpi4py uses {library()}, and an MPI is needed that "
            'starts by PMI-1, such as MPICH: pip install "qonverge[parallel]"'
        )
    return world
