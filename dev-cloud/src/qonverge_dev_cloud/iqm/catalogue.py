"""The quantum computers: their chips are those that Braket offers too, by other names."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from qonverge_dev_cloud.braket.catalogue import GARNET as GARNET_CHIP
from qonverge_dev_cloud.chips import Chip, Edge

NAMESPACE = uuid.UUID("6f3b1c52-0d2a-4d8e-9b0e-6f6f2a5d9a11")


@dataclass(frozen=True, slots=True, kw_only=True)
class Computer:
    """A quantum computer as the API has it."""

    alias: str
    display_name: str
    chip: Chip
    max_circuits: int = 500
    max_shots: int = 20_000
    max_executions: int = 1_000_000
    max_instructions: int = 20_000

    @property
    def id(self) -> str:
        """The id that the API takes as well as the alias."""
        return str(uuid.uuid5(NAMESPACE, self.alias))

    @property
    def places(self) -> dict[str, int]:
        """The chip's labels by the names of qubits."""
        return {qubit_name(label): label for label in self.chip.qubits}


GARNET = Computer(alias="garnet", display_name="IQM Garnet", chip=GARNET_CHIP)
COMPUTERS = (GARNET,)


def qubit_name(label: int) -> str:
    """Return IQM's name of a qubit."""
    return f"QB{label}"


def pair_names(edge: Edge) -> tuple[str, str]:
    """Return the names of two qubits that are coupled, in the order in which they are published."""
    return qubit_name(edge[0]), qubit_name(edge[1])
