"""Texts to circuits: OpenQASM 2 and 3, and the other forms that a job may give."""
