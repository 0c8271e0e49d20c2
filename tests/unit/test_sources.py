"""What a backend's section says, for everything that reads it: one form for simulators and for devices elsewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from qonverge.api import QuantumBackend
from qonverge.api.source import Source
from qonverge.backend.clouds.google.options import GoogleOptions
from qonverge.backend.options import EngineOptions
from qonverge.execution.placement import provider_problem
from qonverge.providers.descriptor import Descriptor
from qonverge.providers.remote import RemoteOptions

DEVICE = "arn:aws:braket:us-east-1::device/qpu/ionq/Aria-1"
BRAKET = {"device": DEVICE, "bucket": "results"}
CLOUD = Descriptor("Acme", "acme:Translator", ("Automatic",), cloud="acme:Cloud", costs_money=True)


def backend(**spec: Any) -> QuantumBackend:
    return QuantumBackend.model_validate({"metadata": {"name": "b"}, "spec": spec})


def test_a_simulator_is_a_source() -> None:
    section = {"engine": "Aer", "method": "Statevector", "seed": 7, "layout": "AsGiven", "noise": {"device": "lima"}}
    source = backend(simulator=section, replicas=3).spec.source
    assert (source.provider, source.method, source.seed) == ("Aer", "Statevector", 7)
    assert source.noise is not None
    assert source.noise.device == "lima"
    assert source.keeps_layouts
    assert not source.elsewhere
    assert source.options_path == "simulator.options"


def test_a_device_of_braket_is_a_source_whose_fields_are_the_provider_s_options() -> None:
    section = {**BRAKET, "s3Endpoint": "http://127.0.0.1:9000", "credentials": {"name": "aws"}}
    assert backend(braket=section).spec.source == Source(
        provider="Braket",
        elsewhere=True,
        options={**BRAKET, "prefix": "qonverge", "s3Endpoint": "http://127.0.0.1:9000"},
        credentials="aws",
    )


def test_a_processor_of_google_is_a_source_whose_fields_are_the_provider_s_options() -> None:
    section = {"project": "lab", "processor": "willow_pink", "deviceConfigName": "default", "runName": "current"}
    source = backend(google={**section, "credentials": {"name": "google"}}).spec.source
    assert source == Source(provider="Google", elsewhere=True, options=section, credentials="google")
    assert GoogleOptions.read(source.options).model_dump(by_alias=True, exclude_none=True) == {
        **section,
        "endpoint": "https://quantum.googleapis.com",
    }


def test_a_plugin_is_a_source_with_its_own_options() -> None:
    source = backend(plugin={"provider": "Acme", "options": {"machine": 3}}).spec.source
    assert source == Source(provider="Acme", elsewhere=True, options={"machine": 3}, options_path="plugin.options")
    assert backend(plugin={"provider": "Acme"}).spec.source.options is None


def test_the_server_of_a_device_elsewhere_gets_the_options_and_a_folder_not_the_secret_s_name() -> None:
    spec = backend(braket={**BRAKET, "credentials": {"name": "aws"}}).spec
    options = EngineOptions.of(spec, "", "/run/credentials")
    assert (options.engine, options.options) == ("Braket", {**BRAKET, "prefix": "qonverge"})
    assert options.credentials == "/run/credentials"
    # The pod's own identity.
    assert EngineOptions.of(backend(braket=BRAKET).spec, "", "/run/credentials").credentials == ""


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "source: set exactly one of simulator, braket, google, ibm, ionq, remote, plugin"),
        (
            {"simulator": {}, "braket": BRAKET},
            "source: set exactly one of simulator, braket, google, ibm, ionq, remote, plugin",
        ),
        ({"braket": {"device": DEVICE}}, "Field required"),
        ({"braket": {**BRAKET, "device": "Aria-1"}}, "String should match pattern"),
        (
            {"braket": {**BRAKET, "region": "eu-north-1"}},
            "region is another one than the device's, which its ARN names",
        ),
        ({"braket": {**BRAKET, "endpoint": "file:///etc/passwd"}}, "String should match pattern"),
        ({"braket": {**BRAKET, "credentials": {}}}, "Field required"),
        ({"google": {"project": "lab", "processor": "a/b"}}, "String should match pattern"),
        ({"google": {"project": "lab", "processor": "one", "runName": "r"}}, "set deviceConfigName together with one"),
        (
            {"braket": BRAKET, "replicas": 2},
            "a backend whose device is elsewhere has one pod: set replicas to 1, or to",
        ),
        ({"plugin": {"provider": "acme"}}, "String should match pattern"),
        ({"remote": {"url": "http://edge:8080"}}, "String should match pattern"),
        ({"remote": {"url": "https://user:secret@edge"}}, "String should match pattern"),
        ({"remote": {"url": "https://edge?token=x"}}, "String should match pattern"),
        (
            {"remote": {"url": "https://edge", "caBundle": {}}},
            "caBundle: set exactly one of configMapKeyRef, secretKeyRef",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        backend(**spec)


@pytest.mark.parametrize("url", ["https://edge", "https://[2001:db8::1]:8443/qonverge", "http://127.0.0.1:8080"])
def test_a_remote_server_is_a_source_whose_options_the_provider_takes(url: str) -> None:
    source = backend(remote={"url": url, "credentials": {"name": "token"}}).spec.source
    assert (source.provider, source.elsewhere, source.credentials, source.authorities) == (
        "Remote",
        True,
        "token",
        None,
    )
    assert RemoteOptions.model_validate(source.options) == RemoteOptions(url=url)
    assert provider_problem(backend(remote={"url": url})) is None


def test_a_device_whose_arn_has_no_region_takes_any() -> None:
    sv1 = "arn:aws:braket:::device/quantum-simulator/amazon/sv1"
    source = backend(braket={"device": sv1, "bucket": "results", "region": "eu-west-2"}, replicas=0).spec.source
    assert source.options is not None
    assert source.options["region"] == "eu-west-2"


def test_a_provider_is_used_by_the_kind_of_section_that_fits_it() -> None:
    assert CLOUD.problem(elsewhere=True) is None
    assert CLOUD.problem() == (
        "the engine Acme is a device elsewhere: use the section of spec that is made for it, or plugin"
    )
    aer = Descriptor("Aer", "aer:Engine", ("Automatic",))
    assert aer.problem(elsewhere=True) == "the provider Aer is a simulator: name it in spec.simulator.engine"
    assert aer.problem() is None


def test_a_provider_without_options_says_where_they_stand() -> None:
    assert CLOUD.problem(elsewhere=True, options={"a": 1}, options_path="plugin.options") == (
        "the engine Acme has no options: leave plugin.options out"
    )
    # Of a typed section the API's own model has checked them.
    assert CLOUD.problem(elsewhere=True, options={"a": 1}, options_path="") is None
