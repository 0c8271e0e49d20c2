"""Credentials from a folder with a file for each key of a Secret."""

from __future__ import annotations

from botocore.credentials import CredentialProvider, CredentialResolver, Credentials, ReadOnlyCredentials
from botocore.exceptions import PartialCredentialsError
from botocore.session import Session

from qonverge.backend.clouds.secret import secret_value

METHOD = "qonverge-secret"
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


class SecretFolder:
    """A mounted Secret. Its files change while the process runs, so each is read when it is needed."""

    def __init__(self, folder: str) -> None:
        """Nothing is read yet."""
        self._folder = folder

    def value(self, name: str) -> str | None:
        """Return a key's value without white space around it; None where the Secret has no such key."""
        return secret_value(self._folder, name)

    @property
    def region(self) -> str | None:
        """The region that the Secret names, if any."""
        return next((found for name in _REGIONS if (found := self.value(name))), None)

    def credentials(self) -> ReadOnlyCredentials:
        """Return the credentials as they are now.

        Raises:
            PartialCredentialsError: a key is missing.
        """
        key, secret = self._needed("AWS_ACCESS_KEY_ID"), self._needed("AWS_SECRET_ACCESS_KEY")
        return ReadOnlyCredentials(key, secret, self.value("AWS_SESSION_TOKEN"))

    def _needed(self, name: str) -> str:
        found = self.value(name)
        if found is None:
            raise PartialCredentialsError(provider="the Secret", cred_var=name)
        return found


class _FolderCredentials(Credentials):  # type: ignore[misc]  # the base class has no types
    """Read anew for each request: clients ask for frozen credentials when they sign one."""

    def __init__(self, folder: SecretFolder) -> None:
        super().__init__("", "", method=METHOD)
        self._secret_folder = folder

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self._secret_folder.credentials()


class _FolderProvider(CredentialProvider):  # type: ignore[misc]  # the base class has no types
    METHOD = METHOD

    def __init__(self, folder: SecretFolder) -> None:
        super().__init__()
        self._folder = folder

    def load(self) -> Credentials:
        return _FolderCredentials(self._folder)


def session_with(folder: SecretFolder | None) -> Session:
    """Return a session of the folder's credentials; without one, of the pod's identity, as AWS's SDKs look for it."""
    session = Session()
    if folder is not None:
        session.register_component("credential_provider", CredentialResolver([_FolderProvider(folder)]))
    return session
