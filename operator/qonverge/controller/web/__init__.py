"""What the operator serves."""
