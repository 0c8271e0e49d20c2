"""Backends with larger sizes, as a round of placement sees them: each circuit has one size. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from qonverge.api import QuantumBackend
from qonverge.controller.objects.sizes import keys_of_sizes
from qonverge.scheduling import Backend


def with_sizes(seen: Sequence[Backend], backends: Mapping[str, QuantumBackend]) -> tuple[Backend, ...]:
    """Return the backends, of which larger sizes know the next smaller one.

    Args:
        seen: as a round sees each by itself.
        backends: the resources by their keys.
    """
    # One that is no size any more is for nobody, and goes once its pods have done what they have.
    found = {each.key: replace(each, smaller_bytes=sys.maxsize) if each.size_of else each for each in seen}
    for key, backend in backends.items():
        name = backend.metadata.name
        sizes = list(keys_of_sizes(backend))
        chain = [key, *(size for size in sizes if size in found and found[size].size_of == name)]
        for smaller, larger in pairwise(chain):
            memory = found[smaller].memory_bytes
            found[smaller] = replace(found[smaller], larger=True)
            # What is not known is taken to be enough: once a pod of that size has told it, it is.
            found[larger] = replace(found[larger], smaller_bytes=sys.maxsize if memory is None else memory)
        if sizes and chain[-1] != sizes[-1]:
            # As before the backend is looked at for the first time, or after somebody deleted the size.
            found[chain[-1]] = replace(found[chain[-1]], awaits_larger=True)
    return tuple(found[each.key] for each in seen)
