"""What went wrong with a call of AWS, as the executor of cloud tasks tells faults apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)
from botocore.parsers import ResponseParserError

from qonverge.backend.clouds.errors import (
    CloudBusy,
    CloudError,
    CloudRefused,
    CloudUnavailable,
    CredentialsRefused,
    NoCredentials,
    ReplyLost,
)
from qonverge.backend.clouds.secret import scrubbed

_BUSY = frozenset(
    (
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "RequestThrottled",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "SlowDown",
        # More tasks than the account may have at a time.
        "ServiceQuotaExceededException",
    )
)
_NO_RIGHT = frozenset(
    (
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnauthorizedException",
        "UnrecognizedClientException",
    )
)
# No connection came about, so that nothing was sent.
_NOT_SENT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError, SSLError)
_NO_REPLY = (HTTPClientError, IncompleteReadError, ResponseParserError)
# A file that a workload identity names and that is not there is no credential either.
_NO_CREDENTIALS = (PartialCredentialsError, CredentialRetrievalError, OSError)
RAISED = (BotoCoreError, ClientError, ResponseParserError, OSError)
"""What calls of botocore raise."""
_FAILED = frozenset(("InternalServiceException", "RequestTimeout", "RequestTimeoutException"))


class NotThere(CloudRefused):
    """Braket knows no such device or task."""


def cloud_error(error: Exception, doing: str, secrets: Iterable[str] = ()) -> CloudError:
    """Return what an exception of botocore means.

    Args:
        error: as a call raised it.
        doing: what was tried, such as "Braket's CreateQuantumTask".
        secrets: values that no message may have; AWS's messages have none, those of what stands in between may.
    """

    def told(text: object) -> str:
        return scrubbed(f"{doing}: {text}", secrets)

    if isinstance(error, ClientError):
        return _of_reply(error, told)
    if isinstance(error, _NOT_SENT):
        return CloudUnavailable(told(error))
    if isinstance(error, _NO_REPLY):
        return ReplyLost(told(error))
    if isinstance(error, NoCredentialsError):
        return NoCredentials(told(error))
    if isinstance(error, _NO_CREDENTIALS):
        return CredentialsRefused(told(error))
    # The others find something before anything is sent: in what the call is given, or in how the client is set up.
    return CloudRefused(told(error)) if isinstance(error, ParamValidationError) else CloudUnavailable(told(error))


def _of_reply(error: ClientError, told: Any) -> CloudError:
    reply: Mapping[str, Any] = error.response
    code, words = str(reply.get("Error", {}).get("Code", "")), str(reply.get("Error", {}).get("Message", ""))
    metadata = reply.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    if failures := reply.get("programSetValidationFailures"):
        # Of a program set. The first says what it is about, and often the others are alike.
        words = f"{words}: program {failures[0].get('programIndex')}: {'; '.join(failures[0].get('errors') or ())}"
    said = told(f"{code}: {words}" if words else code)
    if code in _BUSY or status == 429:
        return CloudBusy(said, _after(metadata.get("HTTPHeaders", {})))
    if code == "DeviceOfflineException":
        return CloudUnavailable(said)
    if code in _NO_RIGHT or status in (401, 403):
        return CredentialsRefused(said)
    if status >= 500 or code in _FAILED:
        return ReplyLost(said)
    if code == "ResourceNotFoundException":
        return NotThere(said)
    return CloudRefused(said)


def _after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the server asks to wait, if it does."""
    given = headers.get("retry-after", "")
    return float(given) if given.isdigit() else None
