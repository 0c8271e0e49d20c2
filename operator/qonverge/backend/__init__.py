"""The backend server: worker processes that simulate, a queue in front of them, and HTTP in front of that."""
