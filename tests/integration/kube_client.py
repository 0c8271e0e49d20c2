"""Requests of tests to an API server from this process: a ``kubectl`` for each costs 50 to 150 ms of CPU."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import urllib3
import yaml

_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_SECONDS = 60


class Refused(Exception):
    """The API server refused a request; the text has its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


def connected(kubeconfig: Path) -> tuple[str, urllib3.PoolManager]:
    """Return the API server's address, and connections with the rights of the kubeconfig's user."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    given = {
        "ca": cluster["certificate-authority-data"],
        "cert": user["client-certificate-data"],
        "key": user["client-key-data"],
    }
    files = {}
    for name, data in given.items():
        path = kubeconfig.parent / f"client-{name}.pem"
        path.write_bytes(base64.b64decode(data))
        files[name] = str(path)
    pool = urllib3.PoolManager(
        retries=False, maxsize=8, ca_certs=files["ca"], cert_file=files["cert"], key_file=files["key"]
    )
    return cluster["server"], pool


@dataclass(frozen=True)
class Resource:
    """A kind of object as the API server names it."""

    kind: str
    version: str
    """``apiVersion`` of its objects."""
    plural: str
    namespaced: bool

    def path(self, namespace: str) -> str:
        """Return the path of its collection."""
        root = f"/apis/{self.version}" if "/" in self.version else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if self.namespaced else f"{root}/{self.plural}"


class KubeClient:
    """An administrator's connection. Kinds are named as kubectl takes them: ``hj``, ``job``, ``deployments``."""

    def __init__(self, kubeconfig: Path) -> None:
        self._url, self._pool = connected(kubeconfig)

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """Return an object, empty where there is none."""
        resource = self._resources[kind]
        try:
            return self._ask("GET", f"{resource.path(namespace)}/{name}")
        except Refused as error:
            if error.status == 404:
                return {}
            raise

    def list(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        """Return all objects of a kind in a namespace."""
        resource = self._resources[kind]
        return [_named(item, resource) for item in self._ask("GET", resource.path(namespace))["items"]]

    def apply(self, obj: Mapping[str, Any], namespace: str) -> None:
        """Create the object or make it what is given, on the server's side."""
        wanted = (obj["kind"], obj["apiVersion"])
        (resource,) = {each for each in self._resources.values() if (each.kind, each.version) == wanted}
        path = f"{resource.path(obj['metadata'].get('namespace', namespace))}/{obj['metadata']['name']}"
        query = "?fieldManager=tests&force=true&fieldValidation=Strict"
        metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
        self._ask("PATCH", path + query, _given({**obj, "metadata": metadata}), "application/apply-patch+yaml")

    def patch(self, kind: str, name: str, namespace: str, change: Mapping[str, Any], subresource: str = "") -> None:
        """Merge a change into an object."""
        path = f"{self._resources[kind].path(namespace)}/{name}{subresource and '/' + subresource}"
        self._ask("PATCH", path, change, "application/merge-patch+json")

    def delete(self, kind: str, name: str, namespace: str, *, at_once: bool = True) -> None:
        """Delete an object, at once or within its grace period."""
        self._ask("DELETE", f"{self._resources[kind].path(namespace)}/{name}{_AT_ONCE if at_once else ''}")

    def delete_all(self, kind: str, namespace: str, selector: str = "") -> None:
        """Delete a collection at once."""
        given = f"&labelSelector={selector}" if selector else ""
        self._ask("DELETE", f"{self._resources[kind].path(namespace)}{_AT_ONCE}{given}")

    def _ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> dict[str, Any]:
        answer = self._pool.request(
            method,
            self._url + path,
            body=None if body is None else json.dumps(body).encode(),
            headers={"content-type": kind, "accept": "application/json"},
            timeout=_SECONDS,
        )
        told: dict[str, Any] = json.loads(answer.data)
        if answer.status >= 400:
            raise Refused(answer.status, str(told.get("message", told)))
        return told

    @cached_property
    def _resources(self) -> dict[str, Resource]:
        """What the API server has, by each of its names."""
        found: dict[str, Resource] = {}
        for root in ("/api", "/apis"):
            told = self._pool.request("GET", self._url + root, headers={"accept": _DISCOVERY}, timeout=_SECONDS).json()
            for group in told["items"]:
                # The first is the one that the server prefers.
                version = group["versions"][0]["version"]
                given = f"{group['metadata']['name']}/{version}" if group["metadata"].get("name") else version
                for each in group["versions"][0].get("resources", ()):
                    of = each["responseKind"]["kind"]
                    resource = Resource(of, given, each["resource"], each["scope"] == "Namespaced")
                    names = (each["resource"], each["singularResource"], *each.get("shortNames", ()))
                    for name in (*names, *(f"{name}.{group['metadata'].get('name', '')}" for name in names)):
                        found.setdefault(name, resource)
        return found


_AT_ONCE = "?gracePeriodSeconds=0&propagationPolicy=Background"


def _named(obj: Mapping[str, Any], resource: Resource) -> dict[str, Any]:
    """Return an object of a list with its kind, as kubectl shows it."""
    return {"apiVersion": resource.version, "kind": resource.kind, **obj}


def _given(value: Any) -> Any:
    """Return what is applied: null stands for a field that is not there, as in what is created."""
    if isinstance(value, dict):
        return {name: _given(each) for name, each in value.items() if each is not None}
    return [_given(each) for each in value] if isinstance(value, list) else value
