"""What the operator does about jobs of each kind of program."""
