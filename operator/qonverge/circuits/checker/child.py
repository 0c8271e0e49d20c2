"""The process that opens untrusted text: ``python -m qonverge.circuits.checker.child BYTES CPU_SECONDS NICENESS``.

It is apart from the operator so that a hostile program can exhaust nothing but this process.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from typing import Any

from qonverge.circuits.checker.checked_circuit import check
from qonverge.circuits.errors import InvalidProgram
from qonverge.devices import Calibration, Layout
from qonverge.wire.child_side import serve_pipes
from qonverge.wire.frames import read_frame, write_frame

# Of an error's text; a library may quote the whole program.
_LONGEST = 300


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Check or map one program, or check its parameters; what is invalid is an answer too.

    An empty request asks whether the process is ready. ``exhausted`` in the answer says that memory was lacking,
    ``fault`` what a library or this code tripped over, which may be lack of memory too.
    """
    if not request:
        return {}
    try:
        if "schema" in request:
            return _problems(request)
        return _load(request) if "device" in request else _check(request)
    except (MemoryError, SystemError):  # the latter where the interpreter itself gets no memory for a call
        return {"exhausted": True}


def _check(request: dict[str, Any]) -> dict[str, Any]:
    try:
        layout = None if request["layout"] is None else Layout.from_dict(request["layout"])
        done = check(request["program"], request["parameters"], request["observables"], layout)
    except InvalidProgram as error:
        return {
            "invalid": {
                "problem": error.problem,
                "line": error.line,
                "column": error.column,
                "expected": error.expected,
            }
        }
    except (MemoryError, SystemError):
        raise
    except Exception as error:  # a fault of a library or of this one is told as what it is, and ends no process
        return {"fault": f"the program cannot be read: {type(error).__name__}: {str(error)[:_LONGEST]}"}
    return {
        "digest": done.digest,
        "qpy": done.qpy,
        "analysis": done.analysis.to_dict(),
        "observables": done.observables,
        "profile": done.profile.to_dict() if done.profile else None,
        "layout": None if done.layout is None else done.layout.to_dict(),
        "used": done.used,
        "pairs": done.pairs,
        "warnings": done.warnings,
        "fixed": done.fixed,
    }


def _problems(request: dict[str, Any]) -> dict[str, Any]:
    from qonverge.documents.json_schema import InvalidSchema, problems

    try:
        return {"problems": problems(request["parameters"], request["schema"], "parameters")}
    except InvalidSchema as error:
        return {"problems": [str(error)]}


def _load(request: dict[str, Any]) -> dict[str, Any]:
    from qonverge.circuits.analysis.canonical import deserialise
    from qonverge.circuits.mapping.mapped import load_of
    from qonverge.circuits.mapping.mapper import Mapper

    device = Calibration.from_dict(request["device"])
    layout = None if request["layout"] is None else Layout.from_dict(request["layout"])
    circuit = deserialise(request["qpy"])
    try:
        bound = circuit.assign_parameters({free.name: request["parameters"][free.name] for free in circuit.parameters})
        ones = dict(request["ones"])
        if not request["measures"]:
            # Its bits come behind those that there are.
            ones = {bit + bound.num_clbits: one for bit, one in ones.items()}
            bound.measure_all()
        return load_of(Mapper(device).map(bound, layout).circuit, device, ones).to_dict()
    except (MemoryError, SystemError):
        raise
    except Exception as error:  # the transpiler's plugins raise errors of every kind
        return {"unmapped": str(error).strip("'\"") or type(error).__name__}


def main() -> None:
    """Serve until standard input ends."""
    memory, cpu_seconds, niceness = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    requests, answers = serve_pipes()
    from qiskit import qasm2, qpy

    from qonverge.circuits.qasm import openqasm3

    assert qasm2 and qpy and openqasm3
    # Whoever waits for the process to be ready does so for its own sake: only what programs take is to come last.
    os.nice(niceness)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    while (request := read_frame(requests)) is not None:
        began = time.process_time()
        # Unlike RLIMIT_CPU it counts from here, and in fractions of a second. Nobody handles SIGPROF, so it ends this.
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        done = answer(request)
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        write_frame(answers, {**done, "cpu_seconds": time.process_time() - began})


if __name__ == "__main__":
    main()
