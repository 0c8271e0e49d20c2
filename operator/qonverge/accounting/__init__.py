"""What jobs use, what quotas allow, and what is granted. Pure."""
