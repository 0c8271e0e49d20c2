"""What travels, and what is refused on arrival."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgpack
import numpy as np
import pytest

from qonverge.amounts import Prices, TaskLimits
from qonverge.wire.codec import pack, unpack
from qonverge.wire.errors import InvalidTask, TokenExpired, Unauthorized, UnknownCircuit, WireError
from qonverge.wire.messages import Pub, PubResult, Task, TaskResult
from qonverge.wire.proof import challenge, is_proof, is_seal, prove, seal
from qonverge.wire.tokens import (
    OPERATOR_SUBJECT,
    Caller,
    Signer,
    Verifier,
    generate_private_key,
    instance_audience,
    public_key,
)
from qonverge.wire.vendor import DeviceState, limits_of


def test_a_task_arrives_as_it_was_sent() -> None:
    pub = Pub("d", {"a": np.array([0.1, 0.2])}, 100, None, ((("ZZ", 1.0),),), np.array([[0, 0]], dtype=np.int32))
    task = Task("t", (pub,), {"d": b"qpy"}, 7, True)
    arrived = Task.from_dict(unpack(pack(task.to_dict())))
    assert pack(arrived.to_dict()) == pack(task.to_dict())
    assert arrived.pubs[0].sets == 2


def test_what_the_operator_says_of_a_task_arrives() -> None:
    """The longest names of Kubernetes, a key as the cloud's executor makes it, and ids as long as vendors' are."""
    arn = "arn:aws:braket:eu-north-1:123456789012:quantum-task/0f5fb7e1-8a2c-4c1d-9f0e-6c2f1d2b3a4c"
    name = f"projects/{'p' * 30}/programs/qonverge-{'a' * 40}/jobs/qonverge-{'a' * 40}"
    known = {"a" * 64: arn, "b" * 64: name}
    task = Task("t", (Pub("d"),), namespace="n" * 63, again=True, job="j" * 253, known=known, boot="c" * 16, since=1.5)
    task = replace(task, limits=TaskLimits(None, 100, 40_000, 0))
    arrived = Task.from_dict(unpack(pack(task.to_dict())))
    assert (arrived.namespace, arrived.job, arrived.known) == (task.namespace, task.job, known)
    assert (arrived.again, arrived.boot, arrived.since, arrived.limits) == (True, task.boot, 1.5, task.limits)


def test_a_seal_is_for_one_id_and_none_is_made_of_a_proof() -> None:
    name, identity = "a" * 64, "task-1"
    given = seal("key", name, identity)
    sent = Task("t", (Pub("d"),), known={name: identity}, seals={name: given})
    arrived = Task.from_dict(unpack(pack(sent.to_dict())))
    assert is_seal(arrived.seals[name], "key", name, identity)
    for key, other, task in (("other", name, identity), ("key", "b" * 64, identity), ("key", name, "task-2")):
        assert not is_seal(given, key, other, task)
    assert not is_seal("\u00e9", "key", name, identity)
    # Anybody may have a pod prove itself by what they send, and some pods have names as people choose them.
    for sent_by_anybody in (name, f"qonverge.io vendor tasks\0{name}"):
        assert not is_seal(prove("key", sent_by_anybody, identity), "key", name, identity)


def test_what_a_device_takes_arrives_or_is_not_known() -> None:
    for limits in (None, TaskLimits(10, 100, 40_000, 0)):
        state = DeviceState(True, limits=limits, prices=Prices(task=Decimal("0.30")))
        assert DeviceState.from_dict(unpack(pack(state.to_dict()))) == state
    assert limits_of(None) == limits_of(DeviceState(False)) == TaskLimits()


def test_a_result_arrives_as_it_was_sent() -> None:
    bits = np.arange(6, dtype=np.uint8).reshape(1, 3, 2)
    result = TaskResult(
        "t",
        "Failed",
        (PubResult(({"00": 3},), {"c": (9, bits)}, shots=3, method="statevector", engine="Aer 2"),),
        UnknownCircuit("no", missing=["x"]),
        "Aer 1",
        3,
        0.1,
        0.2,
    )
    arrived = TaskResult.from_dict(unpack(pack(result.to_dict())))
    assert isinstance(arrived.error, UnknownCircuit)
    assert arrived.error.missing == ["x"]
    assert (arrived.results[0].registers["c"][1] == bits).all()
    assert arrived.results[0].counts == ({"00": 3},)
    assert arrived.results[0].engine == "Aer 2"


GOOD: dict[str, Any] = {"circuit": "d"}


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ([], "a task is an object"),
        ({"id": "", "pubs": [GOOD]}, "id must be a text"),
        ({"id": "t", "pubs": []}, "has no pubs"),
        ({"id": "t", "pubs": [{}]}, "a circuit digest"),
        ({"id": "t", "pubs": [{**GOOD, "shots": 0}]}, "shots is 0"),
        ({"id": "t", "pubs": [{**GOOD, "precision": 2}]}, "precision is 2"),
        ({"id": "t", "pubs": [{**GOOD, "parameters": {"a": [float("nan")]}}]}, "parameter a has values that are NaN"),
        ({"id": "t", "pubs": [{**GOOD, "parameters": {"a": [1], "b": [1, 2]}}]}, "the same number of values"),
        ({"id": "t", "pubs": [{**GOOD, "observables": [[["Z", float("inf")]]]}]}, "coefficient that is NaN"),
        ({"id": "t", "pubs": [GOOD], "seed": -1}, "seed is -1"),
        ({"id": "t", "pubs": [GOOD], "seed": True}, "seed is True"),
        ({"id": "t", "pubs": [GOOD], "circuits": {"d": "text"}}, "digests to QPY bytes"),
        ({"id": "t", "pubs": [GOOD], "known": {"k": 7}}, "known is"),
        ({"id": "t", "pubs": [GOOD], "limits": [None, 1]}, "limits is"),
        ({"id": "t", "pubs": [GOOD], "limits": [0, 1, None, 1]}, "has 0 for shots"),
        ({"id": "t", "pubs": [GOOD], "limits": [None, None, None, 1]}, "has None for programs"),
        ({"id": "t", "pubs": [GOOD], "limits": [None, 1, True, 1]}, "has True for total shots"),
    ],
)
def test_bad_tasks_are_refused(task: Any, message: str) -> None:
    with pytest.raises(InvalidTask, match=message):
        Task.from_dict(task)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"junk" * 100,
        msgpack.packb(msgpack.ExtType(1, msgpack.packb(("|O", (1,))) + b"12345678")),
        msgpack.packb(msgpack.ExtType(1, msgpack.packb(("<f8", (10**12,))) + b"12345678")),
        msgpack.packb(msgpack.ExtType(9, b"")),
        b"\x91" * 2000 + b"\x01",
    ],
)
def test_hostile_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a message"):
        unpack(body)


def test_an_error_of_an_unknown_kind_is_still_an_error() -> None:
    assert str(WireError.from_dict({"code": "New", "message": "of tomorrow"})) == "of tomorrow"


def test_a_program_s_token_names_its_account() -> None:
    private = generate_private_key()
    token = Signer(private).sign(audience="a", subject="n/j", now=0.0, ttl=60.0, account="uid-1", attempt=2)
    verifier = Verifier(public_key(private), "a", lambda: 1.0)
    assert [verifier.verify(token) for _ in range(2)] == [Caller("n/j", "uid-1", attempt=2)] * 2


def test_the_operator_s_token_for_a_pod_opens_no_other() -> None:
    signer = Signer(key := generate_private_key())

    def sign(audience: str, subject: str = OPERATOR_SUBJECT) -> str:
        return signer.sign(audience=audience, subject=subject, now=0.0, ttl=60.0)

    pod = Verifier(public_key(key), "lab/aer", lambda: 1.0, "uid-1")
    assert pod.verify(sign(instance_audience("lab/aer", "uid-1"))).subject == OPERATOR_SUBJECT
    for audience in ("lab/aer", instance_audience("lab/aer", "uid-2"), instance_audience("lab/other", "uid-1")):
        with pytest.raises(Unauthorized, match="for another service"):
            pod.verify(sign(audience))
    # A program's is for all pods of its backend, and never the operator's.
    assert pod.verify(sign("lab/aer", "chem/bell")).subject == "chem/bell"
    with pytest.raises(Unauthorized, match="for another service"):
        pod.verify(sign(instance_audience("lab/aer", "uid-1"), "chem/bell"))


def test_only_a_pod_with_its_backend_s_key_proves_itself() -> None:
    signer, sent = Signer(generate_private_key()), challenge()
    key = signer.backend_key("lab/aer")
    assert is_proof(prove(key, sent, "uid-1"), key, sent, "uid-1")
    others = (signer.backend_key("lab/other"), Signer(generate_private_key()).backend_key("lab/aer"), "")
    wrong = [prove(other, sent, "uid-1") for other in others]
    wrong += [prove(key, sent, "uid-2"), prove(key, challenge(), "uid-1")]
    assert not any(is_proof(given, key, sent, "uid-1") for given in [*wrong, None, 1, "é"])


def test_tokens() -> None:
    key = generate_private_key()
    signer, now = Signer(key), [1000.0]
    token = signer.sign(audience="lab/aer", subject="chem/bell", now=4_000_000_000.0, ttl=60)
    verifier = Verifier(public_key(key), "lab/aer", lambda: now[0])
    assert verifier.verify(token) == Caller("chem/bell")
    now[0] = 4_000_000_061.0
    with pytest.raises(TokenExpired, match="has expired"):
        verifier.verify(token)
    now[0] = 2000.0
    for bad, message in [
        (None, "bearer token is needed"),
        ("x.y.z", "not valid"),
        (signer.sign(audience="lab/other", subject="s", now=4e9, ttl=60), "for another service"),
        (signer.sign(audience="lab/aer", subject="s", now=1000.0, ttl=60), "has expired"),
        (Signer(generate_private_key()).sign(audience="lab/aer", subject="s", now=4e9, ttl=60), "not valid"),
    ]:
        with pytest.raises(Unauthorized, match=message):
            verifier.verify(bad)
