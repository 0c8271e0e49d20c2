"""Circuits in any form that a job may give: OpenQASM text, QPY, or either of them compressed by gzip.

Only the child process and workers call this: reading a hostile file takes memory and time.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from qonverge.circuits.errors import InvalidProgram
from qonverge.circuits.qasm.parse import parse_openqasm
from qonverge.circuits.qasm.parsed import Parsed

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

MOST_UNPACKED = 64 * 1024 * 1024
"""Bytes that a compressed circuit may unfold to."""

_GZIP = b"\x1f\x8b"
_QPY = b"QISKIT"
# Before this version expressions were stored as Python code, which reading them runs.
_FIRST_SAFE_QPY = 13
_FORMS = "OpenQASM text, QPY, or one of them compressed by gzip"


def read_circuit(program: str | bytes, parameters: Mapping[str, float]) -> Parsed:
    """Return the circuit of a program in any form, in canonical form.

    Args:
        program: text, or bytes.
        parameters: values of inputs, for texts whose circuit depends on them.

    Raises:
        InvalidProgram: with line and column where it is text.
    """
    data = program
    if isinstance(data, bytes) and data.startswith(_GZIP):
        data = _unpacked(data)
    if isinstance(data, bytes) and data.startswith(_QPY):
        return Parsed(_from_qpy(data))
    return parse_openqasm(data if isinstance(data, str) else _text(data), parameters)


def _unpacked(data: bytes) -> bytes:
    # 16: with the header of gzip.
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        unpacked = stream.decompress(data, MOST_UNPACKED)
    except zlib.error as error:
        raise InvalidProgram(f"the compressed program is damaged: {error}", expected="what gzip writes") from None
    if stream.unconsumed_tail:
        raise InvalidProgram(
            "the compressed program is too large", expected=f"one of at most {MOST_UNPACKED} bytes when it is unpacked"
        )
    if not stream.eof:
        raise InvalidProgram("the compressed program is cut off", expected="the whole of what gzip writes")
    return unpacked


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidProgram("the program is neither text nor QPY", expected=_FORMS) from None


def _from_qpy(data: bytes) -> QuantumCircuit:
    from qiskit import QuantumCircuit, __version__, qpy

    from qonverge.circuits.analysis.canonical import canonical

    if len(data) > len(_QPY) and data[len(_QPY)] < _FIRST_SAFE_QPY:
        raise InvalidProgram(
            f"the QPY is of version {data[len(_QPY)]}", expected=f"version {_FIRST_SAFE_QPY} or later, of Qiskit 1.3 on"
        )
    try:
        circuits = qpy.load(io.BytesIO(data))
    except (MemoryError, RecursionError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # of a damaged file Qiskit raises errors of every kind, and those of Rust are no Exception
        raise InvalidProgram(
            "the QPY is damaged, or of a later version", expected=f"what qiskit.qpy.dump of Qiskit {__version__} writes"
        ) from None
    if len(circuits) != 1 or not isinstance(circuits[0], QuantumCircuit):
        raise InvalidProgram(f"the QPY holds {len(circuits)} circuits", expected="one")
    try:
        return canonical(circuits[0])
    except RecursionError:
        raise InvalidProgram(
            "the program is nested too deeply", expected="fewer blocks or gates inside each other"
        ) from None
