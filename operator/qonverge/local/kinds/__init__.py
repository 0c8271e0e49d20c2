"""How jobs of each kind of program run without a cluster."""
