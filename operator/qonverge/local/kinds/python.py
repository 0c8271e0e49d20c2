"""Python programs as subprocesses."""

from __future__ import annotations

import signal
from typing import Any

from qonverge import __version__
from qonverge.accounting.conversion import usage_of
from qonverge.api.job import Provenance, Result
from qonverge.execution.placement import declared
from qonverge.local.kinds.kind import LocalKind, PlacedJob
from qonverge.local.programs import ProgramHost
from qonverge.programs.python import left_reason, specification, text
from qonverge.programs.source import digest


class LocalPrograms:
    """A program has one attempt: nothing can be lost under it but what it runs on itself."""

    async def run(self, placed: PlacedJob) -> None:
        """Run the program."""
        run, engine, source = placed.run, placed.engine, text(placed.program)
        run.start(1)
        host = ProgramHost(engine, placed.checker)
        async with host.serving():
            args, pricing = specification(run.job).args, placed.backend.spec.pricing
            ended = await host.run(run.job, source, args, pricing=pricing, on_line=run.line, on_report=run.report)
        fields: dict[str, Any] = {
            # Shells and Kubernetes count signals from 128.
            "exit_code": ended.exit_code if ended.exit_code >= 0 else 128 - ended.exit_code,
            "log": run.tail.text(),
            "usage": usage_of(ended.used.at_power(declared(placed.backend).task_watts)),
            "result": Result(value=ended.result) if ended.has_result else None,
            "provenance": Provenance(
                program_digest=digest(source),
                qonverge_version=__version__,
                engine=engine.info().engine,
                seed=run.job.spec.seed,
                calibration=engine.info().calibration_digest or None,
            ),
        }
        if ended.exit_code == 0:
            run.complete(**fields)
        else:
            left = left_reason(ended.left) or ("ProgramFailed", _exit_sentence(ended.exit_code))
            run.fail(*left, **fields)


KIND: LocalKind = LocalPrograms()


def _exit_sentence(code: int) -> str:
    if code < 0:
        known = {number.value: f" ({number.name})" for number in signal.Signals}
        return f"the program was ended by signal {-code}{known.get(-code, '')}"
    return f"the program ended with exit code {code}; its last lines are in status.log"
