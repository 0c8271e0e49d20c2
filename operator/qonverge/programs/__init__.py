"""The kinds of program that a job may have: what each asks for, before it runs and when it ends. Pure."""
