"""What reconcilers declare: what they look after and what they watch, as controller-runtime's For and Watches."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from qonverge.controller.store.resources import Change

Keys = Callable[[Change], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Watch:
    """Objects of a kind whose changes have a reconciler look at objects of its own kind."""

    kind: str
    keys: Keys
    """Which objects a change is about, by their keys."""
    urgent: Callable[[Change], bool] = lambda _: False
    """Whether they go before others of their namespace."""


@dataclass(frozen=True, slots=True)
class Handler:
    """What else follows from changes of a kind, such as in what is derived from all objects.

    Handlers are called before any object is reconciled. They have what was known before and after, so that their order
    does not matter.
    """

    kind: str
    handle: Callable[[Change], None]
    own_writes: bool = False
    """Whether also as soon as this operator wrote the object's status; the watch shows that again."""


@dataclass(frozen=True, slots=True)
class Reconciler:
    """What looks after a kind that Qonverge defines."""

    kind: str
    reconcile: Callable[[str], Awaitable[None]]
    """Looks at the object of a key; one that is gone is looked at once more."""
    watches: tuple[Watch, ...]
    handlers: tuple[Handler, ...] = ()


def itself(change: Change) -> Iterable[str]:
    """Of the reconciler's own kind, the object that changed."""
    return (change.key,)


def owner_of_kind(kind: str) -> Keys:
    """Return what finds the object of a kind that what changed belongs to."""

    def keys(change: Change) -> Iterable[str]:
        return (change.owner.key,) if change.owner is not None and change.owner.kind == kind else ()

    return keys


def always(_: Change) -> bool:
    """Every change is urgent: what ends frees something that others wait for."""
    return True
