"""What circuits are: their one form, what can be told of them, and how they are changed."""
