"""A backend server outside Kubernetes, set up by one file: ``qonverge backend serve --config FILE``."""
