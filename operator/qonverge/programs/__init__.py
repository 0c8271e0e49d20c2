"""The kinds of program that a job may have: what each is, asks for and gives, with and without a cluster."""
