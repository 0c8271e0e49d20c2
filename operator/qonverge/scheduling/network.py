"""What the ways to backends take of each job's time, by the links as they are measured. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from qonverge.forecast.intervals import Floats
from qonverge.scheduling.model import Backend, Job, Policy, Snapshot
from qonverge.sites.link import Link

Links = Mapping[str, Mapping[str, Link]]
"""Of each place that programs run at the links to backends, by their keys."""


def link_of(job: Job, backend: Backend, links: Links) -> Link:
    """Return what is known of the way from where the job's questions come from to a backend.

    Where no link from that place is known, it is the operator's.
    """
    (link,) = _links_of(job, [backend], links)
    return link


def seconds_of(job: Job, link: Link) -> float | None:
    """Return how long a job waits for a link; None where the link's round trip is not known."""
    trip = link.trip_seconds
    return None if trip is None else job.round_trips * trip + job.nbytes / (link.bytes_per_second or np.inf)


def round_trips(snapshot: Snapshot) -> Floats:
    """Return the round trips that were measured, shape (jobs, backends), seconds; NaN where none was."""
    return _of_jobs(snapshot, lambda links: _figures(link.round_trip_seconds for link in links))


def network_seconds(snapshot: Snapshot, policy: Policy) -> Floats:
    """Return how long each job waits for the ways to each backend and back, shape (jobs, backends), seconds.

    A figure that was not measured is taken to be as bad as the worst that was; a round trip from a site also as long as
    the operator's own. The way to the backend on which the same program ran last, or to which the job is to go as
    things are, counts as shorter by the policy's ``nearer``, so that it does not go to and fro between two that are
    about as far.
    """
    own = _worst(_figures(_operators(backend).trip_seconds for backend in snapshot.backends))

    def trips(links: list[Link]) -> Floats:
        measured = _figures(link.trip_seconds for link in links)
        return np.where(np.isnan(measured), np.maximum(_worst(measured), own), measured)

    def waits(links: list[Link]) -> Floats:
        return _worst(_figures(None if link.bytes_per_second is None else 1 / link.bytes_per_second for link in links))

    count = np.array([job.round_trips for job in snapshot.jobs])[:, None]
    nbytes = np.array([job.nbytes for job in snapshot.jobs])[:, None]
    total: Floats = count * _of_jobs(snapshot, trips) + nbytes * _of_jobs(snapshot, waits)
    columns = {backend.key: column for column, backend in enumerate(snapshot.backends)}
    for row, job in enumerate(snapshot.jobs):
        if job.settled in columns:
            total[row, columns[job.settled]] *= 1 - policy.nearer
    return total


def _operators(backend: Backend) -> Link:
    return Link(backend.latency_seconds, None, backend.bytes_per_second)


def _links_of(job: Job, backends: Sequence[Backend], links: Links) -> list[Link]:
    """Return the same for several backends."""
    measured = links.get(job.origin, {})
    if not any(link.round_trip_seconds is not None for link in measured.values()):
        return [_operators(backend) for backend in backends]
    return [measured.get(backend.key, Link()) for backend in backends]


def _of_jobs(snapshot: Snapshot, of_links: Callable[[list[Link]], Floats]) -> Floats:
    """Return a figure of each job's link to each backend; jobs of one place have the same ones."""
    places = {job.origin: job for job in snapshot.jobs}
    if not places:
        return np.empty((0, len(snapshot.backends)))
    rows = [of_links(_links_of(job, snapshot.backends, snapshot.links)) for job in places.values()]
    numbers = {origin: number for number, origin in enumerate(places)}
    return np.array(rows)[[numbers[job.origin] for job in snapshot.jobs]]


def _figures(values: Iterable[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _worst(values: Floats) -> Floats:
    """Return the values with the largest in the place of those that are not known; 0 where none is."""
    known = values[~np.isnan(values)]
    return np.where(np.isnan(values), known.max(initial=0.0), values)
