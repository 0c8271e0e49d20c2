"""Checking programs, in processes of their own."""
