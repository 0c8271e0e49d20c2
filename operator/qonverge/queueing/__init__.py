"""Who is served next where several tenants share something, and when what failed is tried again."""

from qonverge.queueing.backoff import Backoff
from qonverge.queueing.fair import FairQueue
from qonverge.queueing.turns import Turns

__all__ = ["Backoff", "FairQueue", "Turns"]
