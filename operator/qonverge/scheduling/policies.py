"""Policies as people write them: an object with the names of ``Policy`` as Kubernetes spells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from qonverge.documents.faults import Unreadable
from qonverge.documents.reader import read_documents
from qonverge.scheduling.model import Policy
from qonverge.scheduling.schedulers import SchedulerError, find


class PolicyError(ValueError):
    """A policy that can't be used; the message says which field and why."""


def read_policy(data: bytes, base: Policy) -> Policy:
    """Return the policy of a YAML or JSON document; what it does not name is as in ``base``.

    Raises:
        PolicyError: it is none, or its scheduler is not installed.
    """
    try:
        documents = read_documents(data)
    except Unreadable as error:
        raise PolicyError(str(error)) from None
    if len(documents) != 1:
        raise PolicyError(f"{len(documents)} documents; one is expected")
    for fault in documents[0].faults:
        raise PolicyError(str(fault))
    return policy_of(documents[0].value, base)


def policy_of(given: Any, base: Policy) -> Policy:
    """Return the policy of plain values, see ``read_policy``."""
    if not isinstance(given, Mapping):
        raise PolicyError("an object is expected, such as {patienceSeconds: 600}")
    names = {to_camel(item.name): item.name for item in fields(Policy)}
    unknown = sorted(str(name) for name in given if name not in names)
    if unknown:
        raise PolicyError(f"{unknown[0]} is not a field of a policy: {', '.join(sorted(names))}")
    try:
        # A number without a point is as good as one with it, in YAML as in JSON.
        policy = TypeAdapter(Policy).validate_python(
            {item.name: getattr(base, item.name) for item in fields(Policy)}
            | {names[name]: value for name, value in given.items()}
        )
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(to_camel(str(part)) for part in problem["loc"])
        text = problem["msg"].removeprefix("Value error, ")
        for name, field in names.items():
            text = text.replace(field, name)
        raise PolicyError(f"{place}: {text}" if place else text) from None
    try:
        find(policy.scheduler)
    except SchedulerError as error:
        raise PolicyError(str(error)) from None
    return policy
