"""How tasks travel to a backend, or to the engine of this process."""
