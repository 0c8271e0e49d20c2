"""The backend server: worker processes that simulate, a queue in front of them, and HTTP in front of that."""

import logging

# The server's own process sets up a log; where the engine is part of another program, that program decides.
logging.getLogger(__name__).addHandler(logging.NullHandler())
