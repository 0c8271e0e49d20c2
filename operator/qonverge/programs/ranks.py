"""What the ranks of a parallel program find in their environment, with and without a cluster. Pure."""

from __future__ import annotations

RANK_VARIABLES: tuple[str, ...] = ("QONVERGE_RANK", "RANK")
"""Which have the rank's number: our client's, and PyTorch's."""


def world(size: int, host: str, *, master_port: int, rendezvous_port: int) -> dict[str, str]:
    """Return the variables that all ranks have alike.

    Args:
        size: how many ranks there are.
        host: of rank 0, as the others reach it.
        master_port: for the program's own use, such as PyTorch's store.
        rendezvous_port: where MPI's ranks find each other, see ``client.program.rendezvous``.
    """
    return {
        "QONVERGE_WORLD_SIZE": str(size),
        "QONVERGE_RENDEZVOUS": f"{host}:{rendezvous_port}",
        # As torchrun, Kubeflow Trainer and JobSet's examples have them.
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": host,
        "MASTER_PORT": str(master_port),
    }


def named(rank: int, size: int, sentence: str) -> str:
    """Return the sentence of how a rank ended; of a program that is alone without the rank."""
    if size == 1:
        return sentence
    named_pod = sentence.replace("the program's pod", f"the pod of rank {rank}", 1)
    return named_pod if named_pod != sentence else sentence.replace("the program", f"rank {rank} of {size}", 1)
