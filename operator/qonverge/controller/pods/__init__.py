"""Backend pods: requests to them, and the tasks that they have."""
