"""The executor of tasks that a cloud runs."""
