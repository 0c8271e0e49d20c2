"""Each vendor's provider tells how long requests took that the cloud itself answered, and so how far it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qonverge.backend.clouds.braket.cloud import BraketCloud
from qonverge.backend.clouds.errors import CloudError
from qonverge.backend.clouds.google.cloud import GoogleCloud
from qonverge.backend.clouds.ibm.cloud import IBMCloud
from qonverge.backend.clouds.ionq.cloud import IonqCloud
from qonverge.backend.clouds.protocol import Cloud, CloudConfig, Submission
from tests.unit.backend.clouds.answering import Request, Service, answering
from tests.unit.backend.clouds.test_google_cloud import FIRST

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
SECRET = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "GOOGLE_APPLICATION_CREDENTIALS": json.dumps(FIRST),
    "IONQ_API_KEY": "key",
    "QISKIT_IBM_TOKEN": "key",
}
ANSWER = {"id": "one", "quantumTaskArn": "arn", "access_token": "token", "expires_in": 3600}
KINDS: dict[str, tuple[Callable[[CloudConfig], Cloud], dict[str, Any], int]] = {
    "Braket": (
        BraketCloud,
        {"device": "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1", "bucket": "results", "s3Endpoint": "URL"},
        1,
    ),
    # A program, and a job of it.
    "Google": (GoogleCloud, {"project": "lab", "processor": "willow_pink"}, 2),
    # Tokens come from another place.
    "IBM": (IBMCloud, {"backend": "ibm_fez", "instance": CRN, "iamEndpoint": "URL"}, 1),
    "IonQ": (IonqCloud, {"backend": "qpu.forte-1"}, 1),
}


@pytest.fixture
def service() -> Iterator[Service]:
    with answering() as found:
        yield found


@pytest.mark.parametrize("name", KINDS)
def test_answers_of_the_cloud_are_told_and_nobody_elses(name: str, service: Service, tmp_path: Path) -> None:
    for key, value in SECRET.items():
        (tmp_path / key).write_text(value)
    kind, options, requests = KINDS[name]
    given = {key: service.url if value == "URL" else value for key, value in options.items()}
    answered: list[float] = []
    cloud = kind(CloudConfig({**given, "endpoint": service.url}, str(tmp_path), answered.append))
    submission = Submission('{"circuit": []}', 100)
    service.answer = lambda _: (200, ANSWER)
    cloud.submit("a" * 64, submission)
    assert len(answered) == requests
    assert all(0 < seconds < 60 for seconds in answered)

    def by_a_proxy(request: Request) -> tuple[int, Any]:
        return (200, ANSWER) if request.place.endswith("/token") else (502, "<html>")

    service.answer = by_a_proxy
    with pytest.raises(CloudError):
        cloud.submit("b" * 64, submission)
    assert len(answered) == requests
