"""Fair queueing between tenants, by what each has cost so far.

Start-time fair queueing (Goyal, Vin and Cheng, 1996) with costs that are corrected afterwards: each tenant has a
virtual time, which the cost of what it gets moves forward, and the one that is behind all others is next. A tenant that
comes back begins where the queue is, so what it left unused gives it no claim; what it got too much of is remembered
while others wait.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(slots=True)
class _Tenant(Generic[T]):
    served: float
    """Virtual time."""
    since: int
    """When it last had nothing, as a number in order: of equals the first is next."""
    # Dictionaries, since they keep their order and find an item at once.
    urgent: dict[T, float] = field(default_factory=dict)
    normal: dict[T, float] = field(default_factory=dict)
    in_service: int = 0

    @property
    def waits(self) -> bool:
        return bool(self.urgent or self.normal)


class FairQueue(Generic[T]):
    """Items of tenants, each item once.

    While tenants have items, what they got differs by the cost of one item each at most. So an item of a tenant that
    had nothing waits for no more than one item of each other tenant, however many these have. Within a tenant urgent
    items come first, then those that came first.
    """

    def __init__(self, most: int | None = None) -> None:
        """Let at most so many items of a tenant be in service at a time; None: any number."""
        self._most = most
        self._tenants: dict[str, _Tenant[T]] = {}
        self._now = 0.0
        self._arrivals = 0
        self._length = 0
        self._in_service = 0

    def __len__(self) -> int:
        """Return how many items wait."""
        return self._length

    def put(self, tenant: str, item: T, *, cost: float = 1.0, urgent: bool = False) -> None:
        """Add an item, or make one that waits urgent; ``cost`` is what it is expected to take, in any unit."""
        known = self._tenants.setdefault(tenant, _Tenant(self._now, 0))
        if not known.waits and not known.in_service:
            self._arrivals += 1
            known.served, known.since = max(known.served, self._now), self._arrivals
        before = known.urgent.get(item, known.normal.get(item))
        if before is None:
            self._length += 1
        elif item in known.urgent or not urgent:
            return
        known.normal.pop(item, None)
        (known.urgent if urgent else known.normal)[item] = cost

    def remove(self, tenant: str, item: T) -> None:
        """Take back an item that waits; one that does not is none to take back."""
        known = self._tenants.get(tenant)
        if known is not None and (item in known.urgent or item in known.normal):
            known.urgent.pop(item, None)
            known.normal.pop(item, None)
            self._length -= 1
            self._forget(tenant)

    def take(self) -> tuple[str, T] | None:
        """Return the next item and its tenant, or None where none waits that may be served; call ``done`` for it."""
        waiting = [
            (tenant.served, tenant.since, name)
            for name, tenant in self._tenants.items()
            if tenant.waits and (self._most is None or tenant.in_service < self._most)
        ]
        if not waiting:
            return None
        served, _, name = min(waiting)
        tenant = self._tenants[name]
        items = tenant.urgent or tenant.normal
        item = next(iter(items))
        # One that was held back by its limit may be behind the others' time.
        self._now = max(self._now, served)
        tenant.served += items.pop(item)
        tenant.in_service += 1
        self._in_service += 1
        self._length -= 1
        return name, item

    def done(self, tenant: str, *, expected: float = 1.0, cost: float = 1.0) -> None:
        """End the service of an item of the tenant that was expected to cost ``expected`` and did cost ``cost``."""
        known = self._tenants[tenant]
        known.in_service -= 1
        self._in_service -= 1
        known.served += cost - expected
        self._forget(tenant)

    def _forget(self, name: str) -> None:
        """Forget a tenant that has nothing and got no more than others, and all tenants once none has anything."""
        tenant = self._tenants[name]
        if not self._length and not self._in_service:
            self._tenants.clear()
        elif not tenant.waits and not tenant.in_service and tenant.served <= self._now:
            del self._tenants[name]
