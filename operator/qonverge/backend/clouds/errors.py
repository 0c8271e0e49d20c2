"""What goes wrong with a cloud, told apart by what may be done about it."""

from __future__ import annotations

from typing import ClassVar


class CloudError(Exception):
    """Base of what goes wrong with a cloud. The message never has a credential."""

    code: ClassVar[str] = "CloudError"


class CloudRefused(CloudError):
    """The cloud will not take this task, however often it is asked: its words say why."""

    code = "CloudRefused"


class CredentialsRefused(CloudError):
    """The cloud does not take the credentials, or they lack a right: tasks wait until there are others."""

    code = "CredentialsRefused"


class NoCredentials(CredentialsRefused):
    """There are none to send."""

    code = "NoCredentials"


class CloudBusy(CloudError):
    """Too many calls, or too many tasks: nothing had an effect, and it may be asked again later."""

    code = "CloudBusy"

    def __init__(self, message: str, after: float | None = None) -> None:
        """``after``: seconds that the cloud asks to wait."""
        super().__init__(message)
        self.after = after


class CloudUnavailable(CloudError):
    """The device is offline or in maintenance, or no connection could be made: nothing had an effect."""

    code = "CloudUnavailable"


class CannotFind(CloudError):
    """The cloud has no call that finds a task by its key.

    What may have been sent is not sent again then: it fails with ``OutcomeUnknown``. The message says where a person
    finds it, such as by its tag in the vendor's console.
    """

    code = "CannotFind"


class ReplyLost(CloudError):
    """A request was sent and nobody knows whether it had its effect: no reply, or an error of the server."""

    code = "ReplyLost"
