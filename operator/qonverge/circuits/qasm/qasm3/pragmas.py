"""Pragmas of Amazon Braket: what they ask for changes the circuit or its result, so that none may be passed over.

Source: "What OpenQASM features does Braket support?" of Amazon Braket's developer guide.
"""

from __future__ import annotations

from qonverge.circuits.qasm.qasm3.values import Fault

_CLIENT = "the Braket device of the client library, which takes programs with it"
_RESULTS = {
    "expectation": "program.circuit.observables, a letter for each qubit, qubit 0 last",
    "probability": "a measurement, whose counts tell it",
    "sample": "a measurement, and memory in a Python program",
}
_OTHERS = {"unitary": f"gates, or {_CLIENT}", "noise": "a backend with noise of its own"}


def refuse(command: str) -> None:
    """Refuse a pragma of Braket's that is not understood; one of somebody else's is none.

    Args:
        command: what stands after the word pragma.

    Raises:
        Fault: naming what is taken in its place.
    """
    whose, _, rest = command.partition(" ")
    if whose != "braket":
        return
    what, _, asked = rest.partition(" ")
    kind = what.partition("(")[0]
    if kind == "result":
        raise Fault(
            f"the pragma {command!r} asks for a result that no circuit gives by itself",
            _RESULTS.get(asked.partition(" ")[0].partition("(")[0], _CLIENT),
        )
    raise Fault(f"the pragma {command!r} is not understood", _OTHERS.get(kind, "braket verbatim"))
