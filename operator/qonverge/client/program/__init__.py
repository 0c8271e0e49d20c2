"""A job's program: how it is run, and what it reports."""
