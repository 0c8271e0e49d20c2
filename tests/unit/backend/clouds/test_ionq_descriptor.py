from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from qonverge.api.clouds import Ionq
from qonverge.backend.clouds.ionq.options import IonqOptions
from qonverge.providers.installed import find


def test_reading_the_descriptor_loads_nothing_heavy() -> None:
    code = (
        "import sys; from qonverge.providers.installed import find; find('IonQ');"
        "print(sorted({'pydantic', 'urllib3', 'qiskit', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_section_of_the_api_is_what_the_pod_reads() -> None:
    given: dict[str, Any] = {
        "backend": "qpu.forte-1",
        "gateset": "Native",
        "debiasing": True,
        "session": "0f1f4c1e-6a55-4b77-8a35-5a1b0a4cfe02",
        "costLimit": "30.50",
        "endpoint": "http://127.0.0.1:1/v0.4",
    }
    source = Ionq.model_validate({**given, "credentials": {"name": "ionq"}}).source
    assert source.provider == find("IonQ").name
    assert source.options == given
    assert IonqOptions.read(source.options).model_dump(by_alias=True, exclude_none=True) == given
    simulator = {"backend": "simulator", "noiseModel": "aria-1"}
    assert IonqOptions.read(Ionq.model_validate(simulator).source.options) == IonqOptions.read(simulator)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"backend": "forte"}, "String should match pattern"),
        ({"backend": "qpu.forte-1", "noiseModel": "aria-1"}, "noiseModel is for the simulator"),
        ({"backend": "simulator", "debiasing": False}, "debiasing is for QPUs"),
        ({"backend": "simulator", "costLimit": "1"}, "costLimit is for QPUs"),
        ({"backend": "qpu.forte-1", "costLimit": "1e9"}, "String should match pattern"),
        ({"backend": "qpu.forte-1", "endpoint": "file:///etc/passwd"}, "String should match pattern"),
    ],
)
def test_what_does_not_go_together_is_refused_by_the_api_and_by_the_pod(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Ionq.model_validate(given)
    with pytest.raises(LookupError, match=words):
        IonqOptions.read(given)


@pytest.mark.parametrize(
    ("options", "gate", "exact"),
    [
        ({"backend": "simulator"}, "ms", True),
        ({"backend": "simulator", "noiseModel": "ideal"}, "ms", True),
        ({"backend": "simulator", "noiseModel": "aria-1"}, "ms", False),
        ({"backend": "simulator", "noiseModel": "forte-1"}, "zz", False),
        ({"backend": "qpu.aria-1"}, "ms", False),
        ({"backend": "qpu.forte-enterprise-1"}, "zz", False),
    ],
)
def test_native_gates_of_devices(options: dict[str, Any], gate: str, exact: bool) -> None:
    found = IonqOptions.read(options)
    assert (found.pair_gate, found.exact) == (gate, exact)
