"""Access tokens: of a service account's key in a mounted Secret, or of the pod's own identity."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import google.auth
import urllib3
from google.auth import jwt
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.auth.transport.urllib3 import Request
from google.oauth2 import service_account

from qonverge.backend.clouds.errors import CloudUnavailable, CredentialsRefused, NoCredentials

KEY = "GOOGLE_APPLICATION_CREDENTIALS"
"""Key of the Secret. Its value is the file itself that Google's libraries read where this variable says."""
_AUDIENCE = "https://quantum.googleapis.com/"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


class AccessTokens:
    """Gives tokens that are good now. The Secret's file is read again when it has changed."""

    def __init__(self, folder: str, pool: urllib3.PoolManager) -> None:
        """Read nothing yet.

        Args:
            folder: of the mounted Secret; empty: the pod's own identity, as Google's libraries look for it.
            pool: for requests to Google's token services.
        """
        self._file = Path(folder, KEY) if folder else None
        self._request = Request(pool)
        self._lock = threading.Lock()
        self._text = ""
        self._credentials: Credentials | None = None

    def token(self) -> str:
        """Return a token.

        Raises:
            CredentialsRefused: there are no credentials, or Google does not take them.
            CloudUnavailable: the service that gives tokens is not there.
        """
        with self._lock:
            try:
                credentials = self._current()
                if not credentials.valid:
                    credentials.refresh(self._request)
                return str(credentials.token)
            except TransportError:
                why: Exception = CloudUnavailable("Google's service of access tokens does not answer")
            except DefaultCredentialsError:
                why = NoCredentials(
                    f"the pod has no identity at Google: name a Secret with the key {KEY}, or give the pods a "
                    "ServiceAccount with workload identity"
                )
            except GoogleAuthError as error:
                why = CredentialsRefused(f"Google gives no access token: {_reason(error)}")
        # Outside of the handlers, so that no traceback shows what the key is.
        raise why

    def _current(self) -> Credentials:
        if self._file is None:
            if self._credentials is None:
                self._credentials, _ = google.auth.default(scopes=_SCOPES)
            return self._credentials
        try:
            text = self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise NoCredentials(f"the Secret has no key {KEY}") from None
        if self._credentials is None or text != self._text:
            self._credentials, self._text = _service_account(text), text
        return self._credentials


def _service_account(text: str) -> Credentials:
    refused = CredentialsRefused(f"the Secret's {KEY} is no key of a service account: give the JSON file itself")
    try:
        info: Any = json.loads(text)
        if info.get("type") != "service_account":
            raise refused
        made = service_account.Credentials.from_service_account_info(info)
        # Its own signature is enough: no other service is asked for a token, which is good for this API alone.
        token: Credentials = jwt.Credentials.from_signing_credentials(made, _AUDIENCE)
    except (ValueError, AttributeError, TypeError, GoogleAuthError):
        raise refused from None
    return token


def _reason(error: GoogleAuthError) -> str:
    """Return Google's word for what is wrong, such as ``invalid_grant``, and nothing of what was sent."""
    told = error.args[1] if len(error.args) > 1 else None
    return str(told.get("error", "")) if isinstance(told, dict) and told.get("error") else type(error).__name__
