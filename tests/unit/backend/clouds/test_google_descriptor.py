from __future__ import annotations

import subprocess
import sys

from qonverge.api.clouds import Google
from qonverge.backend.clouds.google.options import GoogleOptions
from qonverge.providers.installed import find


def test_reading_the_descriptor_loads_nothing_heavy() -> None:
    code = (
        "import sys; from qonverge.providers.installed import find; find('Google');"
        "print(sorted({'pydantic', 'google.auth', 'qiskit', 'numpy', 'cirq'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_neither_process_of_the_proxy_loads_cirq() -> None:
    """Which would take more memory than all the rest."""
    code = (
        "import sys; import qonverge.backend.clouds.google.translator, qonverge.backend.clouds.google.cloud;"
        "print(sorted({'cirq', 'cirq_google', 'grpc', 'google.protobuf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_options_are_checked_by_the_model_that_the_descriptor_names() -> None:
    def problem(**options: str) -> str | None:
        return find("Google").problem(elsewhere=True, options=options, options_path="plugin.options")

    assert problem(project="lab", processor="willow_pink") is None
    assert problem(project="lab", processor="willow_pink", runName="current") == (
        "plugin.options: Value error, set deviceConfigName together with one of runName and snapshotId, or none of them"
    )


def test_the_section_of_the_api_is_what_the_pod_reads() -> None:
    given = {
        "project": "lab",
        "processor": "willow_pink",
        "deviceConfigName": "default",
        "snapshotId": "s1",
        "endpoint": "http://127.0.0.1:1",
    }
    source = Google.model_validate({**given, "credentials": {"name": "google"}}).source
    assert source.provider == find("Google").name
    assert source.options == given
    assert GoogleOptions.read(source.options).model_dump(by_alias=True, exclude_none=True) == given
