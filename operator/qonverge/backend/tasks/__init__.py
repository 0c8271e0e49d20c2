"""The registry of tasks: who may ask, what waits, what is kept."""
