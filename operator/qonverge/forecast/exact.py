"""Forecasts from the circuit as it is transpiled for a device: for the few best backends, since that takes time."""

from __future__ import annotations

import json
from collections.abc import Mapping

from cachetools import LRUCache

from qonverge.circuits.checker.checked_circuit import CheckedCircuit
from qonverge.circuits.checker.checker import Checker
from qonverge.circuits.errors import Unmapped
from qonverge.devices import Calibration, Layout
from qonverge.forecast.errors import DoesNotFit
from qonverge.forecast.fidelity import EXACT, interval
from qonverge.forecast.intervals import Interval

Key = tuple[str, str, str, Layout | None]


class ExactForecasts:
    """Asks a checker's child to map circuits, and remembers what came of it by circuit, values and calibration."""

    def __init__(self, checker: Checker, *, most: int = 4096) -> None:
        """Take the checker that maps, and how many forecasts to keep, those used last."""
        self._checker = checker
        self._known: LRUCache[Key, Interval | str] = LRUCache(most)

    async def of(
        self,
        circuit: CheckedCircuit,
        parameters: Mapping[str, float],
        device: Calibration,
        layout: Layout | None = None,
        *,
        namespace: str = "",
    ) -> Interval:
        """Return the forecast of a circuit on a device; ``namespace`` says for whom, since namespaces take turns.

        Raises:
            DoesNotFit: the circuit has no profile or cannot be brought onto the device.
            CheckerLost: the child does not start, so that nothing is known; ask again later.
        """
        found = self.known(circuit, parameters, device, layout)
        if found is None:
            found = await self._find(circuit, parameters, device, layout, namespace)
            self._known[_key(circuit, parameters, device, layout)] = found
        if isinstance(found, str):
            raise DoesNotFit(found)
        return found

    def known(
        self,
        circuit: CheckedCircuit,
        parameters: Mapping[str, float],
        device: Calibration,
        layout: Layout | None = None,
    ) -> Interval | str | None:
        """Return a forecast that was made before, or why there can be none; None where it was never asked for."""
        return self._known.get(_key(circuit, parameters, device, layout))

    async def _find(
        self,
        circuit: CheckedCircuit,
        parameters: Mapping[str, float],
        device: Calibration,
        layout: Layout | None,
        namespace: str,
    ) -> Interval | str:
        if circuit.profile is None:
            return "the circuit is too long for any device"
        try:
            load = await self._checker.load(circuit, parameters, device, layout, namespace=namespace)
        except Unmapped as problem:
            return str(problem)
        return interval(circuit.profile, load, EXACT)


def _key(circuit: CheckedCircuit, parameters: Mapping[str, float], device: Calibration, layout: Layout | None) -> Key:
    return circuit.digest, json.dumps(sorted(parameters.items())), device.digest, layout
