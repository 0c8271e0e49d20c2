"""Objects of one store, by keys with slashes: written whole or not at all, and streamed both ways.

All that is written is seen at once and as a whole: a file is renamed when it is complete, and so is an upload of
parts, which come and go while no more than a few of them are in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qonverge.documents.excerpt import bounded
from qonverge.storage.settings import S3, StoreSettings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PART_BYTES = 8 * 1024**2
# Of one upload that are under way at the same time.
_PARTS = 2
_PIECE_BYTES = 1024**2
# A store that takes or gives nothing for so long does not answer.
_SILENT_SECONDS = 60.0
_CREDENTIAL_SECONDS = 60
_ANY_TIME = timedelta(days=1)


class StoreFailed(Exception):
    """The store does not answer, or refuses; another try may help, at the latest when its settings are put right."""


class NoObject(Exception):
    """There is no object of this key."""


@dataclass(frozen=True, slots=True)
class Content:
    """An object that is read."""

    size: int
    """Bytes."""
    pieces: AsyncIterator[bytes]
    """All of them, a piece at a time; raises StoreFailed."""


class Objects:
    """The objects of one store."""

    def __init__(self, settings: StoreSettings) -> None:
        """Open nothing yet."""
        self.settings = settings
        self._opened: ObjectStore | None = None

    async def put(self, key: str, pieces: AsyncIterable[bytes]) -> int:
        """Write an object, in the place of a former one, and return its size in bytes.

        What ``pieces`` raises goes through, and nothing is written.

        Raises:
            StoreFailed: the store did not take it.
        """
        import obstore

        size = 0
        raised: list[Exception] = []
        loop = asyncio.get_running_loop()

        def wait_for_store(waits: bool) -> None:
            # It may be over already.
            with suppress(RuntimeError):
                silence.reschedule(loop.time() + _SILENT_SECONDS if waits else None)

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            try:
                # Who sends may take its time; only the store is to be quick.
                wait_for_store(False)
                async for piece in pieces:
                    wait_for_store(True)
                    size += len(piece)
                    yield piece
                    wait_for_store(False)
            except Exception as error:
                raised.append(error)
                raise
            finally:
                wait_for_store(True)

        try:
            with _told(self.settings.name):
                async with asyncio.timeout(_SILENT_SECONDS) as silence:
                    await obstore.put_async(
                        self._store(), key, counted(), chunk_size=_PART_BYTES, max_concurrency=_PARTS
                    )
        except (StoreFailed, NoObject):
            if raised:
                raise raised[0] from None
            raise
        return size

    async def get(self, key: str) -> Content:
        """Return an object.

        Raises:
            NoObject: there is none.
            StoreFailed: the store does not give it.
        """
        import obstore

        with _told(self.settings.name):
            async with asyncio.timeout(_SILENT_SECONDS):
                found = await obstore.get_async(self._store(), key)
        return Content(found.meta["size"], self._pieces(found.stream(min_chunk_size=_PIECE_BYTES)))

    async def _pieces(self, stream: Any) -> AsyncIterator[bytes]:
        with _told(self.settings.name):
            following = aiter(stream)
            while True:
                try:
                    async with asyncio.timeout(_SILENT_SECONDS):
                        piece = await anext(following)
                except StopAsyncIteration:
                    return
                yield bytes(piece)

    async def sizes(self, prefix: str) -> dict[str, int]:
        """Return the objects below a prefix that ends in a slash: their sizes in bytes, by their keys in order.

        Raises:
            StoreFailed: the store does not tell.
        """
        import obstore

        with _told(self.settings.name):
            async with asyncio.timeout(_SILENT_SECONDS):
                pages = [page async for page in obstore.list(self._store(), prefix)]
        return dict(sorted((each["path"], each["size"]) for page in pages for each in page))

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are gone are passed over.

        Raises:
            StoreFailed: the store did not do it.
        """
        import obstore

        for key in keys:
            try:
                with _told(self.settings.name):
                    async with asyncio.timeout(_SILENT_SECONDS):
                        await obstore.delete_async(self._store(), key)
            except NoObject:
                continue

    def _store(self) -> ObjectStore:
        if self._opened is None:
            s3, folder = self.settings.s3, self.settings.folder
            self._opened = _bucket(s3, self.settings.credentials) if s3 is not None else _folder(folder or "/")
        return self._opened


def _folder(path: str) -> ObjectStore:
    from obstore.store import LocalStore

    return LocalStore(path, mkdir=True, automatic_cleanup=True)


def _bucket(s3: S3, credentials: str) -> ObjectStore:
    from obstore.store import S3Store

    known: dict[str, Any] = {"endpoint": s3.endpoint} if s3.endpoint else {}
    if credentials:
        known["credential_provider"] = _Credentials(Path(credentials))
    return S3Store(
        s3.bucket,
        prefix=s3.prefix.strip("/") or None,
        region=s3.region,
        virtual_hosted_style_request=not s3.path_style,
        # How long a whole upload may take depends on its size.
        client_options={"allow_http": True, "connect_timeout": timedelta(seconds=5), "timeout": _ANY_TIME},
        # Callers try again by themselves, and say so.
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
        **known,
    )


class _Credentials:
    """A mounted Secret's files, read again every minute: whoever renews them restarts nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self) -> dict[str, Any]:
        token = self._folder / "sessionToken"
        return {
            "access_key_id": (self._folder / "accessKeyId").read_text().strip(),
            "secret_access_key": (self._folder / "secretAccessKey").read_text().strip(),
            "token": token.read_text().strip() if token.exists() else None,
            "expires_at": datetime.now(UTC) + timedelta(seconds=_CREDENTIAL_SECONDS),
        }


@contextmanager
def _told(store: str) -> Iterator[None]:
    """Turn what goes wrong at a store into a sentence."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        raise NoObject(_first_line(error)) from None
    except TimeoutError:
        raise StoreFailed(f"the store {store} has not answered for {_SILENT_SECONDS:g} s") from None
    except (BaseError, OSError, ValueError) as error:
        raise StoreFailed(f"the store {store} fails: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    """Return the library's sentence without the values of its own that follow it."""
    return bounded(str(error).split("\n\n")[0].strip() or type(error).__name__)
