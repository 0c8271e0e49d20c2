"""docs/compatibility.md: what the tests of this folder have found."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"
_FILES = {
    "test_qiskit": (
        "Qiskit",
        (
            *("qiskit", "qiskit-addon-cutting", "qiskit-algorithms"),
            *("qiskit-machine-learning", "qiskit-optimization"),
        ),
    ),
    "test_pennylane": ("PennyLane", ("pennylane",)),
    "test_cirq": ("Cirq", ("cirq-core",)),
    "test_braket": ("Amazon Braket", ("amazon-braket-sdk", "amazon-braket-default-simulator")),
}
_HEAD = """# Compatibility

Each line is a behaviour that users of the SDK expect, and was run against Qonverge; what fails, and why, stands beside
it. Written by `make compatibility`; `make test` runs the same and fails where this page is not what it finds.
"""
_TAIL = """
## Others

OpenQASM 2 and 3 are taken as text (see [jobs](jobs.md) and [the protocol](protocol.md)), Qiskit's QPY from its client,
and Braket's dialect of OpenQASM 3 from the Braket device. QIR, Quil, Braket's older JAQCD and vendors' pulse formats
are not supported: translate to OpenQASM 3 first. [The client library](client.md#other-languages) says what is taken
where.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One behaviour."""

    file: str
    behaviour: str
    failure: str
    """Why it is known to fail; empty where it passes."""
    detail: str = ""


def render(findings: list[Finding]) -> str:
    """Return the page."""
    parts = [_HEAD]
    for file, (title, packages) in _FILES.items():
        rows = [finding for finding in findings if finding.file == file]
        if not rows:
            continue
        versions = ", ".join(f"{package} {version(package)}" for package in packages)
        parts.append(f"\n## {title}\n\nTried with {versions}.\n\n| behaviour | |\n|---|---|\n")
        for row in rows:
            said = f"fails: {row.failure}" if row.failure else "passes"
            parts.append(f"| {row.behaviour} | {said}{f'; {row.detail}' if row.detail else ''} |\n")
    return "".join(parts) + _TAIL
