"""The process that opens circuits for a cloud: ``python -m qonverge.backend.executors.cloud.translating_child``.

It is apart from the server so that a hostile circuit can exhaust nothing but this process, and it is given no
credentials. The first message is the configuration.
"""

from __future__ import annotations

import contextlib
import signal
from dataclasses import astuple
from importlib import import_module
from typing import Any

from qonverge.backend.clouds.measurement import Measurement
from qonverge.backend.clouds.translation import Translation
from qonverge.backend.config import EngineConfig
from qonverge.backend.executors.cloud.transpiler_plugins import load_only_imported_plugins
from qonverge.providers.installed import find
from qonverge.wire.child_side import limit_memory, serve_requests
from qonverge.wire.errors import engine_error
from qonverge.wire.messages import Task


def _answer(translation: Translation, request: dict[str, Any]) -> dict[str, Any]:
    task = Task.trusted(request["task"])
    found = [Measurement(*values) for values in request["measurements"]]
    if request["do"] == "plan":
        return {"measurements": [astuple(each) for each in translation.plan(task, request["most_shots"])]}
    if request["do"] == "encode":
        submission = translation.encode(task, found)
        return {
            "program": submission.program,
            "shots": submission.shots,
            "inputs": dict(submission.inputs),
            "reading": dict(submission.reading),
        }
    own = {name: request[name] for name in ("readings", "answers", "seed", "places")}
    results = translation.assemble(task, found, **own)
    return {"results": [result.to_dict() for result in results]}


def main() -> None:
    """Serve until standard input ends."""
    translation: Translation | None = None

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal translation
        if "config" not in request:
            assert translation is not None, "the configuration is the first message"
            return _bounded(translation, request)
        config, first = EngineConfig.from_dict(request["config"]), translation is None
        if first:
            _choose_plugins(config)
        try:
            translation = Translation(config)
            if first:
                translation.warm_up()
            said = translation.describe()
        except LookupError as error:
            said = {"refused": str(error.args[0])}
        if first:
            limit_memory(config.circuit_bytes)
        return said

    serve_requests(answer, _failed)


def _choose_plugins(config: EngineConfig) -> None:
    # What is wrong with the provider is said when its translator is made.
    with contextlib.suppress(ModuleNotFoundError, LookupError):
        import_module(find(config.provider).implementation.partition(":")[0])
    load_only_imported_plugins()


def _bounded(translation: Translation, request: dict[str, Any]) -> dict[str, Any]:
    # Nobody handles SIGPROF, so it ends the process.
    signal.setitimer(signal.ITIMER_PROF, request["cpu_seconds"])
    try:
        return _answer(translation, request)
    except Exception as error:  # a circuit that trips a defect must not take the process
        return _failed(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


def _failed(error: Exception) -> dict[str, Any]:
    return {"error": engine_error(error).to_dict()}


if __name__ == "__main__":
    main()
