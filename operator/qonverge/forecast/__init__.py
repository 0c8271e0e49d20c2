"""What a job will give and take on each backend, told before it runs. Pure."""
