"""Who is served next where several tenants share something: fair queues."""

from qonverge.queueing.fair import FairQueue
from qonverge.queueing.turns import Turns

__all__ = ["FairQueue", "Turns"]
