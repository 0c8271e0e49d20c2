from __future__ import annotations

import subprocess
import sys

from qonverge.api.clouds import Braket
from qonverge.backend.clouds.braket.options import BraketOptions
from qonverge.providers.installed import find

DEVICE = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"


def test_reading_the_descriptor_loads_nothing_heavy() -> None:
    code = (
        "import sys; from qonverge.providers.installed import find; find('Braket');"
        "print(sorted({'pydantic', 'botocore', 'qiskit', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_options_are_checked_by_the_model_that_the_descriptor_names() -> None:
    def problem(**options: str) -> str | None:
        return find("Braket").problem(elsewhere=True, options=options, options_path="plugin.options")

    assert problem(device=DEVICE, bucket="results") is None
    assert problem(device=DEVICE, bucket="results", region="us-west-1") == (
        "plugin.options: Value error, region is us-west-1, and the device is in us-east-1: leave region out"
    )
    assert problem(device=DEVICE, bucket="results", shots="9") == (
        "plugin.options.shots: the engine Braket has no such option; it has bucket, device, endpoint, prefix, region, "
        "reservation and s3Endpoint"
    )


def test_the_section_of_the_api_is_what_the_pod_reads() -> None:
    given = {
        "device": "arn:aws:braket:::device/quantum-simulator/amazon/sv1",
        "bucket": "results",
        "prefix": "here",
        "region": "us-west-2",
        "reservation": "arn:aws:braket:us-west-2:123456789012:reservation/a",
        "endpoint": "http://127.0.0.1:1",
        "s3Endpoint": "http://127.0.0.1:2",
    }
    source = Braket.model_validate({**given, "credentials": {"name": "aws"}}).source
    assert source.provider == find("Braket").name
    assert source.options == given
    assert BraketOptions.read(source.options).model_dump(by_alias=True) == given
    least = Braket.model_validate({"device": DEVICE, "bucket": "results"}).source.options
    assert BraketOptions.read(least) == BraketOptions.read({"device": DEVICE, "bucket": "results"})
