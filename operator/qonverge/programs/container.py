"""Containers: programs in any language that run in pods of their own and call backends from there."""

from __future__ import annotations

import json

from qonverge.api import HybridJob
from qonverge.api.pod_program import Container
from qonverge.programs.pod import PodKind, loop_of
from qonverge.programs.source import Program


class ContainerKind(PodKind):
    """A container, of which nothing is known but its image and how it is started."""

    name = "container"

    def embedded(self, job: HybridJob) -> str | None:
        """Return None: an image's name takes no room worth counting."""
        return None

    def inline(self, job: HybridJob) -> Program:
        """Return image, command and arguments as JSON: what tells the program from others."""
        container = specification(job)
        told = {"image": container.image, "command": container.command, "args": container.args}
        return json.dumps(told, sort_keys=True)

    def reference(self, job: HybridJob) -> None:
        """Return None: a registry has the program, and no ConfigMap."""

    def loop(self, job: HybridJob) -> str | None:
        """Return the digest of the namespace and of what is run."""
        return loop_of(job, self.inline(job))


def specification(job: HybridJob) -> Container:
    """Return what the job says of its container."""
    container = job.spec.program.container
    assert container is not None
    return container
