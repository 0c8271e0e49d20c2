"""Options of the primitives, checked by the SDK's own models: in a process of its own, which ends.

``python -m qonverge.backend.clouds.ibm.primitive_options`` reads them from standard input and writes what goes along
with the PUBs of jobs. The SDK takes 77 MiB, and is needed for nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

_NONE: Mapping[str, Any] = {"options": {}, "version": 2, "support_qiskit": True}
_SECONDS = 120.0


def inputs(which: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what goes along with the PUBs.

    Args:
        which: sampler or estimator.
        given: the options; None for IBM's defaults.

    Raises:
        LookupError: the SDK does not take them.
    """
    if not given:
        return dict(_NONE)
    told = json.loads(_checked(which, json.dumps(given, sort_keys=True)))
    if "refused" in told:
        raise LookupError(told["refused"])
    found: dict[str, Any] = told["inputs"]
    return found


# Calibrations change while options do not.
@lru_cache
def _checked(which: str, given: str) -> str:
    command = [sys.executable, "-W", "ignore", "-m", __name__, which]
    done = subprocess.run(  # noqa: S603  # nothing of it is given by anybody
        command, input=given, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise LookupError(f"options.{which} cannot be checked by qiskit-ibm-runtime: {last}")
    return done.stdout


def of_sdk(which: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``inputs`` as the SDK makes them of options, or why they are ``refused``. It imports the SDK."""
    with warnings.catch_warnings():
        # The primitives on IBM's side are to be followed by ones on the caller's.
        warnings.simplefilter("ignore", DeprecationWarning)
        from qiskit_ibm_runtime.options import EstimatorOptions, SamplerOptions
    kind: Any = SamplerOptions if which == "sampler" else EstimatorOptions
    try:
        return {"inputs": kind._get_program_inputs(asdict(kind(**given)))}
    except ValidationError as error:
        # Each option may also be unset, of which there is an error too.
        problems = error.errors()
        first = next((each for each in problems if "UnsetType" not in str(each["loc"])), problems[0])
        place = ".".join(str(part) for part in ("options", which, *first["loc"]))
        return {"refused": f"{place}: {first['msg'].removeprefix('Value error, ')}"}
    except (TypeError, ValueError) as error:
        return {"refused": f"options.{which}: {error}"}


if __name__ == "__main__":
    print(json.dumps(of_sdk(sys.argv[1], json.load(sys.stdin))))
