"""One codec of a backend server's settings: specification, environment, command line and configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qonverge.api import QuantumBackend
from qonverge.backend.config import EngineConfig
from qonverge.backend.noise_source import NoiseSource
from qonverge.backend.options import EngineOptions
from qonverge.backend.settings import ServerSettings
from qonverge.controller.objects import backend_objects
from qonverge.controller.settings import Settings
from qonverge.devices import Rates

# What an environment variable can hold.
TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)
NUMBERS = st.integers(1, 10**12)
# A whole number has no point in the API server's JSON.
FRACTIONS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not value.is_integer())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FRACTIONS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "engine": TEXTS,
    "method": TEXTS,
    "options": st.dictionaries(TEXTS, JSON, max_size=3),
    "concurrency": NUMBERS,
    "queue_limit": NUMBERS,
    "max_shots": NUMBERS,
    "max_qubits": NUMBERS,
    "device": st.sampled_from(["CPU", "GPU"]),
    "noise": TEXTS,
    "layout": st.sampled_from(["Optimized", "AsGiven"]),
    "credentials": TEXTS,
    "seed": st.integers(0, 2**32 - 1),
    "result_cache": st.integers(0, 10**12),
    "memory_limit": NUMBERS,
    "listen": st.sampled_from(["127.0.0.1:80", "[::1]:8080", "0.0.0.0:0"]),
    "audience": TEXTS,
    "instance": TEXTS,
    "key": TEXTS,
    "public_key": TEXTS,
    "grace": st.floats(0, 1e6),
}
GIVEN = st.fixed_dictionaries({}, optional=FIELDS)


@given(GIVEN)
def test_the_environment_gives_the_same_settings_again(fields: dict[str, Any]) -> None:
    made = ServerSettings(**fields)
    environment = made.to_environment()
    assert set(environment) == {f"QONVERGE_{name.upper()}" for name in fields}
    again = ServerSettings.from_environment(environment)
    assert again == made
    assert again.model_dump() == made.model_dump()
    assert again.to_environment() == environment


@given(GIVEN)
def test_options_of_the_command_line_say_what_variables_say(fields: dict[str, Any]) -> None:
    environment = ServerSettings(**fields).to_environment()
    flags = {name: environment[f"QONVERGE_{name.upper()}"] for name in fields}
    assert ServerSettings.from_environment({}, flags) == ServerSettings(**fields)
    # They go before variables.
    others = {"QONVERGE_SEED": "1", "QONVERGE_ENGINE": "Other"}
    assert ServerSettings.from_environment(others | environment, flags) == ServerSettings.from_environment(
        others, flags
    )


def test_every_field_is_drawn() -> None:
    assert set(FIELDS) == set(ServerSettings.model_fields)


def test_the_defaults_are_those_of_the_configuration() -> None:
    config = EngineOptions().config(cpus=1, memory_bytes=EngineConfig().memory_bytes, noise=None)
    assert config == EngineConfig()


RATES = {"readout": 0.25, "oneQubit": 0.001}
SPECS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"simulator": {}}, {}),
    (
        {
            "simulator": {"engine": "Stim", "method": "Stabilizer", "seed": 7},
            "capacity": {"concurrency": 3, "queueLimit": 5, "maxShots": 99, "maxQubits": 12},
            "resultCache": "64Mi",
        },
        {
            "ENGINE": "Stim",
            "METHOD": "Stabilizer",
            "SEED": "7",
            "CONCURRENCY": "3",
            "QUEUE_LIMIT": "5",
            "MAX_SHOTS": "99",
            "MAX_QUBITS": "12",
            "RESULT_CACHE": "67108864",
        },
    ),
    ({"simulator": {"engine": "Dense", "options": {"b": [1, 2.5], "a": "x"}, "device": "GPU"}}, {"DEVICE": "GPU"}),
    # A layout means nothing without a device.
    ({"simulator": {"layout": "AsGiven", "seed": 0}}, {"SEED": "0"}),
    ({"simulator": {"noise": {"device": "lima"}, "layout": "AsGiven"}}, {"NOISE": "lima", "LAYOUT": "AsGiven"}),
    ({"simulator": {"noise": {"device": "lima"}}}, {"NOISE": "lima", "LAYOUT": "Optimized"}),
    ({"simulator": {"noise": {"rates": RATES}}}, {"LAYOUT": "Optimized"}),
]


@pytest.mark.parametrize(("spec", "variables"), SPECS, ids=str)
def test_a_pod_and_the_embedded_mode_set_the_engine_up_alike(spec: dict[str, Any], variables: dict[str, str]) -> None:
    backend = QuantumBackend.model_validate({"metadata": {"name": "b", "namespace": "n"}, "spec": spec})
    deployment = backend_objects.deployment(backend, Settings(), b"a key")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    assert environment.items() >= {f"QONVERGE_{name}": text for name, text in variables.items()}.items()
    assert ("QONVERGE_LAYOUT" in environment) == ("noise" in spec["simulator"])
    told = ServerSettings.from_environment(environment)
    assert (told.listen, told.audience, told.public_key, told.grace) == ("0.0.0.0:8080", "n/b", "a key", 595)
    machine: dict[str, Any] = {"cpus": 4, "memory_bytes": 2**32}
    noise = None if told.noise is None else NoiseSource(told.noise).read()
    given_noise = backend.spec.source.noise
    known = None if given_noise is None else given_noise.known()
    in_pod, embedded = (
        told.config(**machine, noise=noise),
        EngineOptions.of(backend.spec).config(**machine, noise=known),
    )
    assert in_pod == embedded
    assert in_pod.options == spec["simulator"].get("options")
    assert in_pod.keep_layouts == (variables.get("LAYOUT") == "AsGiven")
    if "rates" in spec["simulator"].get("noise", {}):
        assert noise == Rates.from_dict(RATES)
        assert json.loads(environment["QONVERGE_NOISE"])["readout"] == 0.25


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("seed", "x", "valid integer"),
        ("seed", "-1", "greater than or equal to 0"),
        ("seed", "4294967296", "less than or equal to 4294967295"),
        ("concurrency", "0", "greater than or equal to 1"),
        ("max_shots", "1.5", "valid integer"),
        ("memory_limit", "2Gi", "valid integer"),
        ("device", "TPU", "give CPU or GPU"),
        ("layout", "Kept", "give Optimized or AsGiven"),
        ("options", "[1]", "a JSON object"),
        ("options", '{"a": NaN}', "NaN"),
        ("options", '{"a": 1, "a": 2}', "twice"),
        ("options", "{", "JSON"),
        ("listen", "nonsense", "127.0.0.1:8080"),
        ("listen", "host:70000", "127.0.0.1:8080"),
        ("grace", "-1", "greater than or equal to 0"),
        ("grace", "nan", "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_value_and_what_is_allowed(name: str, text: str, allowed: str) -> None:
    variable, flag = f"QONVERGE_{name.upper()}", "--" + name.replace("_", "-")
    with pytest.raises(ValueError, match=rf"^{variable} is ") as by_variable:
        ServerSettings.from_environment({variable: text})
    with pytest.raises(ValueError, match=rf"^{flag} is ") as by_flag:
        ServerSettings.from_environment({variable: text}, {name: text})
    for error in (by_variable, by_flag):
        assert repr(text) in str(error.value)
        assert allowed in str(error.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"^QONVERGE_MAX_SHOTS is 'y': .*; QONVERGE_SEED is 'x': "):
        ServerSettings.from_environment({"QONVERGE_SEED": "x", "QONVERGE_MAX_SHOTS": "y"})


def test_an_empty_variable_is_not_set() -> None:
    assert ServerSettings.from_environment({"QONVERGE_SEED": "", "QONVERGE_NOISE": ""}) == ServerSettings()


@settings(max_examples=20)
@given(st.text())
def test_the_constructor_reads_no_environment(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QONVERGE_SEED", "5")
        patch.setenv("QONVERGE_ENGINE", "Other")
        assert ServerSettings(key=text).seed is None
        assert ServerSettings.from_environment({"QONVERGE_KEY": "k"}).engine == "Aer"
        assert ServerSettings.from_environment().seed == 5
