"""What providers say of themselves: read by the API's checks, by placement and by the engine Automatic. Pure."""

from qonverge.providers.descriptor import FEATURES, STATE_POWER, Descriptor, Options
from qonverge.providers.installed import GROUP, find, installed, own

__all__ = ["FEATURES", "GROUP", "STATE_POWER", "Descriptor", "Options", "find", "installed", "own"]
