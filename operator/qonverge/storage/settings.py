"""Stores as an installation describes them: a folder, such as a volume's, or a bucket. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from qonverge.api.base import OneOfModel, SpecModel
from qonverge.api.quantity import bytes_of
from qonverge.documents import strict_json
from qonverge.documents.faults import Unreadable

MOST_JOB_BYTES = 10 * 1024**3
"""What one job may keep in a store that does not say it."""


def _http(given: str) -> str:
    url = urlsplit(given)
    if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query or url.fragment:
        raise ValueError("give a URL such as https://minio.storage.svc:9000, without user and query")
    return given.rstrip("/")


def _bytes(given: Any) -> Any:
    return bytes_of(given) if isinstance(given, str) else given


class S3(SpecModel):
    """A bucket of Amazon S3, or of a server that speaks its protocol."""

    bucket: Annotated[str, Field(min_length=3, max_length=255)]
    endpoint: Annotated[str, AfterValidator(_http)] | None = None
    """URL of the server; Amazon's of the region where there is none."""
    region: Annotated[str, Field(min_length=1)] = "us-east-1"
    prefix: str = ""
    """In front of all keys."""
    path_style: bool = True
    """Whether the bucket's name is in the path of URLs, as most servers have it, or in the name of the host."""


class StoreSettings(OneOfModel):
    """One store."""

    one_of: ClassVar[tuple[str, ...]] = ("folder", "s3")
    what: ClassVar[str] = "a store"

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    """By which jobs choose it."""
    folder: Annotated[str, Field(pattern="^/")] | None = None
    """A folder of this machine, which may be where a volume is mounted."""
    s3: S3 | None = None
    """A bucket."""
    credentials: str = ""
    """A folder with the files accessKeyId, secretAccessKey and, if there is one, sessionToken, read again as they
    change; where empty, they come from the environment, as with Amazon's own tools."""
    reclaim_policy: Literal["Delete", "Retain"] = "Delete"
    """Whether what a job keeps is deleted with the job."""
    max_job_bytes: Annotated[int, BeforeValidator(_bytes), Field(ge=1)] = MOST_JOB_BYTES
    """What one job may keep; a number of bytes, or a quantity such as 10Gi."""
    namespaces: list[str] = Field(default_factory=list)
    """Whose jobs may use it; all where empty."""

    def admits(self, namespace: str) -> bool:
        """Return whether jobs of a namespace may use it."""
        return not self.namespaces or namespace in self.namespaces


def parse(text: str) -> tuple[StoreSettings, ...]:
    """Return the stores that a JSON list describes.

    Raises:
        ValueError: it is none, or two of them have one name; the message says which and why.
    """
    try:
        given = strict_json.loads(text)
    except Unreadable as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(given, list):
        raise ValueError("give a list of stores")
    stores = []
    for number, each in enumerate(given):
        try:
            stores.append(StoreSettings.model_validate(each))
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(str(part) for part in (number, *problem["loc"]))
            raise ValueError(f"{place}: {problem['msg'].removeprefix('Value error, ')}") from None
    names = [store.name for store in stores]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two stores are named {twice[0]}")
    return tuple(stores)


class NoSuchStore(LookupError):
    """A job may not use the store that it names; the message says which there are."""


def chosen(stores: Iterable[StoreSettings], default: str, wanted: str | None, namespace: str) -> StoreSettings | None:
    """Return the store for a job's output; None where it names none and the installation has no default for it.

    Args:
        stores: of the installation.
        default: the one for jobs that name none; empty where there is none.
        wanted: what the job names.
        namespace: of the job.

    Raises:
        NoSuchStore: there is none of the name that the job may use.
    """
    open_ = {store.name: store for store in stores if store.admits(namespace)}
    if wanted is None:
        return open_.get(default)
    if wanted not in open_:
        there = f"there are {', '.join(sorted(open_))}" if open_ else "there is none"
        raise NoSuchStore(
            f"output.store is {wanted}, which is no store for jobs of the namespace {namespace}: {there}; an "
            "administrator adds stores to output.stores of the chart"
        )
    return open_[wanted]
