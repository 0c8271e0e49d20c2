"""What can go wrong with a test cluster."""

from __future__ import annotations

from collections.abc import Sequence


class ClusterError(Exception):
    """Base of every error of this package; its text is for a person."""


class RequirementsMissing(ClusterError):
    """This machine lacks something that a layer needs; nothing was started."""

    def __init__(self, layer: str, missing: Sequence[str]) -> None:
        super().__init__(f"{layer} cannot run here:\n" + "\n".join(f"  - {line}" for line in missing))
        self.layer = layer
        self.missing = tuple(missing)


class CommandFailed(ClusterError):
    """A program that was run to its end failed."""

    def __init__(self, command: Sequence[str], status: int, output: str) -> None:
        tail = "\n".join(output.strip().splitlines()[-25:])
        super().__init__(f"{' '.join(command)} ended with status {status}:\n{tail}")
        self.status = status
        self.output = output


class NotReady(ClusterError):
    """A program that was started ended early, or did not become ready in time."""
