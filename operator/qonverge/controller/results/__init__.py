"""Results that are larger than a job's status."""
