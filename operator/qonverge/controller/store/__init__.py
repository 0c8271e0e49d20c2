"""What the operator knows, and the queue of what it has to look at."""
