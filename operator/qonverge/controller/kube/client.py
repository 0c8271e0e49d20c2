"""Requests to the API server: few, small, and without models where none are needed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import client, config

from qonverge.api.registry import KINDS
from qonverge.documents.excerpt import bounded

FIELD_OWNER = "qonverge"
PAGE = 500
"""Objects in a page of a list: thousands at once would cost more memory than all else together."""
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_TIMEOUT = aiohttp.ClientTimeout(total=30)


class KubeError(Exception):
    """The API server refused a request or did not answer; ``status`` is 0 then."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the HTTP status."""
        # The API server repeats what it refuses.
        super().__init__(bounded(f"the API server answered {status}: {message}" if status else message))
        self.status = status


class Kube:
    """A connection to the API server."""

    def __init__(self, configuration: client.Configuration) -> None:
        """Use ``connect``."""
        self._configuration = configuration
        self._api = client.ApiClient(configuration)
        # Not the library's session: it looks for proxies and passwords in files at each request, an eighth of the time.
        connector = aiohttp.TCPConnector(ssl=self._api.rest_client.ssl_context, limit=64)
        self._session = aiohttp.ClientSession(connector=connector)

    @classmethod
    async def connect(cls) -> Kube:
        """Connect as a pod does, or as kubectl does outside of a cluster."""
        configuration = client.Configuration()
        try:
            config.load_incluster_config(configuration)
        except config.ConfigException:
            await config.load_kube_config(client_configuration=configuration)
        return cls(configuration)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()
        await self._api.close()

    async def get(self, kind: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        """Return an object, or None where there is none; ``namespace`` is None for what has none."""
        try:
            return await self._request("GET", _url(kind, namespace, name))
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self, kind: str, namespace: str | None, labels: str = "", *, fields: str = "", metadata_only: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield all objects of a kind with these labels and fields, a page in memory at a time."""
        accept = _METADATA if metadata_only else _JSON
        following: str | None = ""
        while following is not None:
            selectors = {"labelSelector": labels, "fieldSelector": fields}
            query = urlencode({**selectors, "limit": PAGE, "continue": following})
            answer = await self._request("GET", f"{_url(kind, namespace)}?{query}", accept=accept)
            following = answer["metadata"].get("continue") or None
            shared = {"apiVersion": answer["apiVersion"], "kind": kind}
            items = answer.get("items") or []
            del answer
            for item in items:
                yield {**shared, **item}

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Create an object."""
        url = _url(obj["kind"], obj["metadata"]["namespace"])
        return await self._request("POST", url, obj, _JSON)

    async def replace(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Replace an object at the resource version that it carries."""
        metadata = obj["metadata"]
        return await self._request("PUT", _url(obj["kind"], metadata["namespace"], metadata["name"]), obj, _JSON)

    async def apply(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Apply an object server-side as the owner of the fields that it names."""
        metadata = obj["metadata"]
        url = _url(obj["kind"], metadata.get("namespace"), metadata["name"])
        return await self._request("PATCH", f"{url}?fieldManager={FIELD_OWNER}&force=true", obj, _APPLY)

    async def patch_status(
        self, kind: str, namespace: str, name: str, status: dict[str, Any], resource_version: str
    ) -> dict[str, Any]:
        """Write a status; refused with 409 when the object changed since that resource version."""
        body = {"metadata": {"resourceVersion": resource_version}, "status": status}
        url = f"{_url(kind, namespace, name)}/status?fieldManager={FIELD_OWNER}"
        return await self._request("PATCH", url, body, _MERGE)

    async def set_finalizers(
        self, kind: str, namespace: str, name: str, finalizers: Sequence[str], resource_version: str
    ) -> dict[str, Any]:
        """Write an object's finalizers; refused with 409 when the object changed since that resource version."""
        body = {"metadata": {"resourceVersion": resource_version, "finalizers": [*finalizers]}}
        url = f"{_url(kind, namespace, name)}?fieldManager={FIELD_OWNER}"
        return await self._request("PATCH", url, body, _MERGE)

    async def delete(self, kind: str, namespace: str, name: str, uid: str | None = None) -> None:
        """Delete an object and what it owns; one that is gone, or is another by now, is left alone."""
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._request("DELETE", _url(kind, namespace, name), body, _JSON)
        except KubeError as error:
            if error.status not in (404, 409):
                raise

    async def log(self, namespace: str, pod: str, *, lines: int, limit_bytes: int) -> str:
        """Return the last lines that a pod printed."""
        # The limit counts from the start of the tail, and runtimes split lines in parts of 16 KiB that count as lines.
        query = urlencode({"tailLines": lines, "limitBytes": lines * 17 * 1024})
        text = await self._raw("GET", f"{_url('Pod', namespace, pod)}/log?{query}")
        return text.decode(errors="replace")[-limit_bytes:]

    async def _request(
        self, method: str, url: str, body: Any = None, content: str = "", accept: str = _JSON
    ) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(await self._raw(method, url, body, content, accept))
        return data

    async def _raw(self, method: str, url: str, body: Any = None, content: str = "", accept: str = _JSON) -> bytes:
        headers = {"Accept": accept}
        # Asking here, not once, renews the service account's token.
        if token := await self._configuration.get_api_key_with_prefix("BearerToken"):
            headers["Authorization"] = token
        if body is not None:
            headers["Content-Type"] = content
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        try:
            async with self._session.request(
                method,
                f"{self._configuration.host}/{url}",
                data=data,
                headers=headers,
                timeout=_TIMEOUT,
                proxy=self._configuration.proxy,
            ) as response:
                answer: bytes = await response.read()
                if response.status >= 400:
                    raise KubeError(response.status, _message(answer))
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubeError(0, f"the API server does not answer: {str(error) or type(error).__name__}") from None


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer).get("message", ""))
    except (ValueError, AttributeError):
        return answer[:200].decode(errors="replace")


def _url(kind: str, namespace: str | None, name: str | None = None) -> str:
    found = KINDS[kind]
    url = found.path if namespace is None else f"{found.path}/namespaces/{quote(namespace)}"
    return f"{url}/{found.plural}" + (f"/{quote(name)}" if name else "")
