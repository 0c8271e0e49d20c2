"""The process that opens untrusted text: ``python -m qonverge.circuits.child MEMORY_BYTES``.

It is apart from the operator so that a hostile program can exhaust nothing but this process.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

from qonverge.circuits.checked import check
from qonverge.circuits.errors import InvalidProgram
from qonverge.wire.child import read_frame, serve_pipes, write_frame


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Check one program; an invalid one is an answer too. An empty request asks whether the process is ready."""
    if not request:
        return {}
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
    except (MemoryError, SystemError):  # the latter where the interpreter itself gets no memory for a call
        return {
            "invalid": {
                "problem": "the program needs more memory to be read than is allowed",
                "expected": "fewer or smaller registers and fewer operations",
            }
        }
    return {
        "digest": done.digest,
        "qpy": done.qpy,
        "analysis": done.analysis.to_dict(),
        "observables": done.observables,
    }


def main() -> None:
    """Serve until standard input ends."""
    memory = int(sys.argv[1])
    requests, answers = serve_pipes()
    import qiskit_qasm3_import
    from qiskit import qasm2, qasm3, qpy

    assert qasm2 and qasm3 and qpy and qiskit_qasm3_import
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    while (request := read_frame(requests)) is not None:
        write_frame(answers, answer(request))


if __name__ == "__main__":
    main()
