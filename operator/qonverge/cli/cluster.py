"""What commands ask of the cluster of the current kubectl context."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qonverge.api.registry import KINDS
from qonverge.documents.excerpt import bounded

if TYPE_CHECKING:
    import aiohttp
    from kubernetes.aio import client

_PAGE = 500
_GROUP_VERSION = ("qonverge.io", "v1alpha1")
_MANAGER = "qonverge-cli"
_JSON = "application/json"
_REQUEST_SECONDS = 300
_CONNECT_SECONDS = 30


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
        return (await self.listed(plural, namespace))[0]

    async def listed(self, plural: str, namespace: str | None, fields: str = "") -> tuple[list[dict[str, Any]], str]:
        """Return objects as ``objects`` does, those that a field selector chooses, and the version of the list."""
        from kubernetes.aio import client

        api = client.CustomObjectsApi(self._api)
        found: list[dict[str, Any]] = []
        go_on = ""
        while True:
            page: dict[str, Any] = {"limit": _PAGE, "_continue": go_on, "field_selector": fields}
            with _told(None):
                answer: Any = await (
                    api.list_cluster_custom_object(*_GROUP_VERSION, plural, **page)
                    if namespace is None
                    else api.list_namespaced_custom_object(*_GROUP_VERSION, namespace, plural, **page)
                )
            found += answer["items"]
            go_on = str(answer["metadata"].get("continue") or "")
            if not go_on:
                return found, str(answer["metadata"]["resourceVersion"])

    async def create(self, obj: dict[str, Any], namespace: str) -> dict[str, Any] | None:
        """Create an object and return it as it is then; None where there is one of its name.

        Raises:
            NoAnswer: the API server does not answer, or refuses.
        """
        path = f"{_path(obj['kind'], namespace)}?fieldManager={_MANAGER}&fieldValidation=Strict"
        status, data = await self._ask("POST", path, obj)
        if status == 409:
            return None
        _checked(status, data)
        made: dict[str, Any] = json.loads(data)
        return made

    async def read(self, path: str) -> dict[str, Any]:
        """Return what the API server has at a path.

        Raises:
            NoAnswer: the API server does not answer, or refuses.
        """
        status, data = await self._ask("GET", path)
        _checked(status, data)
        found: dict[str, Any] = json.loads(data)
        return found

    async def apply(self, obj: dict[str, Any], namespace: str) -> None:
        """Apply an object as ``kubectl apply --server-side`` does.

        Raises:
            NoAnswer: the API server does not answer, or refuses.
        """
        path = (
            f"{_path(obj['kind'], namespace, obj['metadata']['name'])}?fieldManager={_MANAGER}&fieldValidation=Strict"
        )
        _checked(*await self._ask("PATCH", path, obj, "application/apply-patch+yaml"))

    async def change_job(self, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Merge fields into a HybridJob's specification, and return the job as it is then.

        Raises:
            NoAnswer: the API server does not answer, has no such job, or refuses.
        """
        path = f"{_path('HybridJob', namespace, name)}?fieldManager={_MANAGER}"
        status, data = await self._ask("PATCH", path, {"spec": spec}, "application/merge-patch+json")
        if status == 404:
            raise NoAnswer(f"there is no HybridJob {name} in the namespace {namespace}")
        _checked(status, data)
        job: dict[str, Any] = json.loads(data)
        return job

    async def stream(self, path: str, idle: float | None) -> AsyncIterator[bytes]:
        """Yield what the API server has at a path as it comes; ``idle`` is for how many seconds nothing may come.

        Raises:
            NoAnswer: the API server does not answer, or refuses.
        """
        import aiohttp

        with _told(None):
            limit = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=idle)
            response = await self._send("GET", path, limit=limit)
            if response.status != 200:
                data: bytes = await response.read()
                raise NoAnswer(_refusal(response.status, data.decode(errors="replace")))
            try:
                async for chunk in response.response.content.iter_any():
                    yield chunk
            finally:
                response.response.close()

    @contextlib.asynccontextmanager
    async def websocket(self, path: str, protocol: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Connect to a path by a WebSocket of a protocol.

        Raises:
            NoAnswer: the API server does not answer, or refuses.
        """
        import aiohttp

        rest, configuration = self._api.rest_client, self._api.configuration
        token = await configuration.get_api_key_with_prefix("BearerToken")
        # Requests before this one have made it.
        connections = rest.pool_manager
        assert connections is not None
        with _told(None):
            try:
                async with connections.ws_connect(
                    configuration.host + path,
                    protocols=(protocol,),
                    headers={"authorization": token} if token else {},
                    max_msg_size=0,
                    proxy=rest.proxy,
                    proxy_headers=rest.proxy_headers,
                    server_hostname=configuration.tls_server_name,
                ) as socket:
                    yield socket
            except aiohttp.WSServerHandshakeError as error:
                # Only an ordinary request gets the reason: the answer to a handshake has no body.
                _checked(*await self._ask("GET", path))
                raise NoAnswer(_refusal(error.status, error.message)) from None

    async def _ask(self, method: str, path: str, body: Any = None, content: str = _JSON) -> tuple[int, bytes]:
        with _told(None):
            response = await self._send(method, path, body, content)
            data: bytes = await response.read()
        return response.status, data

    async def _send(
        self, method: str, path: str, body: Any = None, content: str = _JSON, limit: Any = _REQUEST_SECONDS
    ) -> Any:
        token = await self._api.configuration.get_api_key_with_prefix("BearerToken")
        headers = {"Content-Type": content, **({"authorization": token} if token else {})}
        url = self._api.configuration.host + path
        return await self._api.call_api(method, url, headers, body, _request_timeout=limit)


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


def _path(kind: str, namespace: str, name: str = "") -> str:
    known = KINDS[kind]
    return f"/{known.path}/namespaces/{quote(namespace)}/{known.plural}" + (f"/{quote(name)}" if name else "")


def _checked(status: int, data: bytes) -> None:
    if status >= 300:
        raise NoAnswer(_refusal(status, data.decode(errors="replace")))


def _refusal(status: int | None, words: str) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        # Its own words are in JSON; what stands behind it may answer in plain ones.
        words = str(json.loads(words)["message"])
    return bounded(f"the API server answered {status}: {' '.join(words.split())}")
