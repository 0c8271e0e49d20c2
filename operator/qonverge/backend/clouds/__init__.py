"""Quantum clouds: what is known of them, how they are asked, and how circuits become their tasks."""
