"""Amazon Braket: its REST operations, its devices, and S3 for results."""
