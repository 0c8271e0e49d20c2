"""The server's HTTP: the task protocol, its limits and its description."""
