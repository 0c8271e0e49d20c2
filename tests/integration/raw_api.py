"""Requests to an API server byte for byte: what a client library would change before it sends it arrives as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.kube_client import connected

_PLURALS = {
    "HybridJob": "apis/qonverge.io/v1alpha1/namespaces/default/hybridjobs",
    "QuantumBackend": "apis/qonverge.io/v1alpha1/namespaces/default/quantumbackends",
    "QuantumQuota": "apis/qonverge.io/v1alpha1/namespaces/default/quantumquotas",
    "ConfigMap": "api/v1/namespaces/default/configmaps",
    "Pod": "api/v1/namespaces/default/pods",
}


class RawApi:
    """A connection with an administrator's rights."""

    def __init__(self, kubeconfig: Path) -> None:
        self._url, self._pool = connected(kubeconfig)

    def refusal(self, obj: dict[str, Any], text: str) -> str:
        """Return why the server would not create an object that is sent as this text; nothing where it would."""
        answer = self._pool.request(
            "POST",
            f"{self._url}/{_PLURALS[obj['kind']]}?dryRun=All&fieldValidation=Strict",
            body=text.encode(),
            headers={"content-type": "application/json"},
        )
        return "" if answer.status in (200, 201) else str(json.loads(answer.data).get("message", answer.status))
