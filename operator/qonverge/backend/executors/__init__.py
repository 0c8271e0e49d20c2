"""What executes tasks: worker processes."""
