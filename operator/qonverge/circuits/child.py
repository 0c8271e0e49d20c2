"""The process that opens untrusted text: ``python -m qonverge.circuits.child MEMORY_BYTES``.

Reads requests from standard input and answers on standard output, each a msgpack value behind its length in four
bytes. It is told apart from the operator so that a hostile program can exhaust nothing but this process.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import Any, BinaryIO

import msgpack

from qonverge.circuits.checked import check
from qonverge.circuits.errors import InvalidProgram

HEADER_BYTES = 4


def read_frame(stream: BinaryIO) -> Any | None:
    """Return the next value, or None at the end of the stream."""
    header = stream.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    return msgpack.unpackb(stream.read(int.from_bytes(header, "big")))


def frame(value: Any) -> bytes:
    """Return the value with its length in front."""
    body: bytes = msgpack.packb(value)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Check one program; an invalid one is an answer too."""
    try:
        done = check(request["text"], request["parameters"], request["observables"])
    except InvalidProgram as error:
        return {
            "invalid": {
                "problem": error.problem,
                "line": error.line,
                "column": error.column,
                "expected": error.expected,
            }
        }
    except MemoryError:
        return {"invalid": {"problem": "the program needs more memory to be read than is allowed"}}
    return {
        "digest": done.digest,
        "qpy": done.qpy,
        "analysis": done.analysis.to_dict(),
        "observables": done.observables,
    }


def main() -> None:
    """Serve until standard input ends."""
    memory = int(sys.argv[1])
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not get between the frames.
    os.dup2(2, 1)
    import qiskit_qasm3_import
    from qiskit import qasm2, qasm3, qpy

    assert qasm2 and qasm3 and qpy and qiskit_qasm3_import
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    while (request := read_frame(requests)) is not None:
        answers.write(frame(answer(request)))
        answers.flush()


if __name__ == "__main__":
    main()
