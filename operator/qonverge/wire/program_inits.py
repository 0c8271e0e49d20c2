"""What the operator agrees on with what runs in a program's pod before it."""

USERNAME = "QONVERGE_GIT_USERNAME"
"""The variable with the user for the repository's server."""
PASSWORD = "QONVERGE_GIT_PASSWORD"  # noqa: S105 - the name of a variable
"""The variable with their password, or a token."""
TRY_AGAIN = 75
"""Exit code where another try may succeed: EX_TEMPFAIL of sysexits.h."""
SITE = "site-packages"
"""What of a folder of requirements is to be searched for modules."""
