"""Tasks that come over days: made from stated parameters, or read from a log of the Parallel Workloads Archive."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np

from bench.scaling.plant import Floats, Trace

DAY = 86_400.0
# Median, deviation of the logarithm, and the longest of the run times of 4,881 jobs on IBM's devices, in the data
# published with Ravi et al., "Quantum Computing in the Cloud: Analyzing job and machine characteristics", arXiv
# 2203.13121.
_IBM_MEDIAN, _IBM_DEVIATION, _IBM_LONGEST = math.exp(4.558), 1.73, 4_989.0


def bursty(seed: int, days: float = 1.0) -> Trace:
    """Return a two-state Markov-modulated Poisson process.

    0.1 tasks/s, and 6/s in bursts that take 2 min and come every 20 min, both on average and exponentially distributed.
    Run times are lognormal with a median of 3 s and a deviation of 1.
    """
    random = np.random.default_rng([seed, 1])
    times, now, burst = [], 0.0, False
    while now < days * DAY:
        length = random.exponential(120.0 if burst else 1080.0)
        rate = 6.0 if burst else 0.1
        times.append(now + random.uniform(0, length, random.poisson(rate * length)))
        now, burst = now + length, not burst
    return _trace("bursty", np.concatenate(times), 3.0, 1.0, 600.0, random)


def periodic(seed: int, days: float = 2.0) -> Trace:
    """Return a daily wave, and a sweep at each full hour as a CronJob makes it.

    The wave goes from 0.02 to 0.38 tasks/s, the sweep has 60 tasks within 30 s. Run times are lognormal with a median
    of 6 s and a deviation of 1.
    """
    random = np.random.default_rng([seed, 2])
    minutes = np.arange(0, days * DAY, 60.0)
    counts = random.poisson(60 * 0.2 * (1 - 0.9 * np.cos(2 * math.pi * minutes / DAY)))
    wave = np.repeat(minutes, counts) + random.uniform(0, 60, counts.sum())
    hours = np.repeat(np.arange(3600.0, days * DAY, 3600.0), 60)
    sweeps = hours + random.uniform(0, 30, len(hours))
    return _trace("periodic", np.concatenate([wave, sweeps]), 6.0, 1.0, 600.0, random)


def heavy_tailed(seed: int, days: float = 3.0) -> Trace:
    """Return batches of tasks with the run times of jobs on IBM's devices.

    A batch comes every 400 s on average, as a Poisson process, and its tasks within 20 s. Its size is
    Pareto-distributed with a tail index of 1.3, and at most 200.
    """
    random = np.random.default_rng([seed, 3])
    starts = np.cumsum(random.exponential(400.0, int(days * DAY / 400 * 1.5)))
    starts = starts[starts < days * DAY]
    sizes = np.minimum(200, np.floor(random.pareto(1.3, len(starts)) + 1)).astype(int)
    arrivals = np.repeat(starts, sizes) + random.uniform(0, 20, sizes.sum())
    return _trace("heavy-tailed", arrivals, _IBM_MEDIAN, _IBM_DEVIATION, _IBM_LONGEST, random)


MADE = {"bursty": bursty, "periodic": periodic, "heavy-tailed": heavy_tailed}


def from_log(path: Path, *, skip: float, days: float, faster: float) -> Trace:
    """Return a part of a log in the Standard Workload Format, plain or compressed, each job as one task.

    Args:
        path: the file.
        skip: days of the log that are left out at its start.
        days: days of the log that are taken.
        faster: how many times as fast its jobs are submitted; run times stay.
    """
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith(";")]
    submitted, seconds = np.array([(float(row[1]), float(row[3])) for row in rows]).T
    taken = (submitted >= skip * DAY) & (submitted < (skip + days) * DAY) & (seconds > 0)
    arrivals = submitted[taken] / faster
    return Trace(path.name.partition(".")[0], arrivals - arrivals[0], seconds[taken])


def _trace(
    name: str, arrivals: Floats, median: float, deviation: float, longest: float, random: np.random.Generator
) -> Trace:
    seconds = median * np.exp(deviation * random.standard_normal(len(arrivals)))
    return Trace(name, np.sort(arrivals), np.minimum(longest, seconds))
