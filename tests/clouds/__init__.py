"""A small vendor of the tests' own: a service in a process of its own, and the provider for it."""
