"""The providers of the packages that are installed here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from qonverge.providers.descriptor import Descriptor
from qonverge.providers.figures import Figures

GROUP = "qonverge.providers"
"""Group of entry points whose values are descriptors."""
_DISTRIBUTION = "qonverge"


@cache
def _points() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def installed() -> tuple[str, ...]:
    """Return the names of all providers that are installed."""
    return tuple(sorted(_points()))


@cache
def find(name: str) -> Descriptor:
    """Return a provider's descriptor.

    Raises:
        LookupError: none has this name; the message has those that are installed.
    """
    point = _points().get(name)
    if point is None:
        raise LookupError(f"no engine is called {name}; installed: {', '.join(installed()) or 'none'}")
    found = point.load()
    if not isinstance(found, Descriptor) or found.name != name:
        raise LookupError(f"the entry point {name} of {GROUP} is no Descriptor of that name: {point.value}")
    return found


@cache
def usual_figures() -> Figures:
    """Return the figures that are assumed of an engine that has none of its own: Aer's."""
    figures = find("Aer").figures
    assert figures is not None
    return figures


@cache
def own() -> tuple[Descriptor, ...]:
    """Return the descriptors of the providers that belong to Qonverge, which the schema of the API knows."""
    names = sorted(name for name, point in _points().items() if point.dist and point.dist.name == _DISTRIBUTION)
    return tuple(find(name) for name in names)
