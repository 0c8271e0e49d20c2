"""IBM Quantum: its descriptor, options, circuits in its wire format, and its service."""
