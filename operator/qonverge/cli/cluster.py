"""What commands ask of the cluster of the current kubectl context."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from qonverge.documents.excerpt import bounded

if TYPE_CHECKING:
    from kubernetes.aio import client

_PAGE = 500
_PIECE_BYTES = 256 * 1024
_GROUP_VERSION = ("qonverge.io", "v1alpha1")


class NoAnswer(Exception):
    """The cluster does not tell."""


class Cluster:
    """The API server of the current context."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        """Use ``connected``."""
        self._api = api
        self.namespace = namespace
        """That of the current context."""

    async def job(self, name: str, namespace: str | None) -> dict[str, Any]:
        """Return a HybridJob; the namespace is that of the context where none is given.

        Raises:
            NoAnswer: the API server does not answer, or has no such job.
        """
        return await self._object("HybridJob", "hybridjobs", name, namespace)

    async def backend(self, name: str, namespace: str | None) -> dict[str, Any]:
        """Return a QuantumBackend, as ``job`` does a HybridJob."""
        return await self._object("QuantumBackend", "quantumbackends", name, namespace)

    async def _object(self, kind: str, plural: str, name: str, namespace: str | None) -> dict[str, Any]:
        from kubernetes.aio import client

        namespace = namespace or self.namespace
        with _told(f"there is no {kind} {name} in the namespace {namespace}"):
            found = await client.CustomObjectsApi(self._api).get_namespaced_custom_object(
                *_GROUP_VERSION, namespace, plural, name
            )
        assert isinstance(found, dict)
        return found

    async def objects(self, plural: str, namespace: str | None) -> list[dict[str, Any]]:
        """Return all objects of a kind of ours, in a namespace or in all of them (None).

        Raises:
            NoAnswer: the API server does not answer, or refuses.
        """
        from kubernetes.aio import client

        api = client.CustomObjectsApi(self._api)
        found: list[dict[str, Any]] = []
        go_on = ""
        while True:
            with _told(None):
                answer: Any = await (
                    api.list_cluster_custom_object(*_GROUP_VERSION, plural, limit=_PAGE, _continue=go_on)
                    if namespace is None
                    else api.list_namespaced_custom_object(
                        *_GROUP_VERSION, namespace, plural, limit=_PAGE, _continue=go_on
                    )
                )
            found += answer["items"]
            go_on = str(answer["metadata"].get("continue") or "")
            if not go_on:
                return found

    async def pieces(self, path: str) -> AsyncIterator[bytes]:
        """Yield what the API server has at a path, a piece at a time.

        Raises:
            NoAnswer: the API server does not answer, or refuses.
        """
        import aiohttp

        token = await self._api.configuration.get_api_key_with_prefix("BearerToken")
        headers = {"authorization": token} if token else {}
        with _told(None):
            url = self._api.configuration.host + path
            # However long it takes, as long as something comes.
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=300)
            answer = await self._api.call_api("GET", url, headers, _request_timeout=timeout)
            if answer.status != 200:
                data: bytes = await answer.read()
                raise NoAnswer(_refusal(answer.status, data.decode(errors="replace")))
            async for piece in answer.response.content.iter_chunked(_PIECE_BYTES):
                yield piece


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[Cluster]:
    """Connect as kubectl does.

    Raises:
        NoAnswer: no kubeconfig says where.
    """
    from kubernetes.aio import client, config
    from kubernetes.aio.config import ConfigException
    from yaml import YAMLError

    try:
        await config.load_kube_config()
        _, active = config.list_kube_config_contexts()
        namespace = str(active["context"].get("namespace") or "default")
    except (ConfigException, OSError, ValueError, TypeError, YAMLError) as error:
        # A kubeconfig that is no YAML, or YAML of something else.
        raise NoAnswer(bounded(f"there is no cluster to ask: {' '.join(str(error).split())}")) from None
    async with client.ApiClient() as api:
        yield Cluster(api, namespace)


@contextlib.contextmanager
def _told(missing: str | None) -> Iterator[None]:
    """Turn what goes wrong in a request into a sentence; ``missing`` is the one for what is not there."""
    import aiohttp
    from kubernetes.aio.client.exceptions import ApiException

    try:
        yield
    except ApiException as error:
        if error.status == 404 and missing is not None:
            raise NoAnswer(missing) from None
        raise NoAnswer(_refusal(error.status, str(error.body or error.reason))) from None
    except (OSError, aiohttp.ClientError) as error:
        raise NoAnswer(f"the API server does not answer: {str(error) or type(error).__name__}") from None


def _refusal(status: int | None, words: str) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        # Its own words are in JSON; what stands behind it may answer in plain ones.
        words = str(json.loads(words)["message"])
    return bounded(f"the API server answered {status}: {' '.join(words.split())}")
