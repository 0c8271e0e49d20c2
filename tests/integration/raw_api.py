"""Requests to an API server byte for byte: what a client library would change before it sends it arrives as it is."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import urllib3
import yaml

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
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._url = cluster["server"]
        folder = kubeconfig.parent
        files = {}
        for name, given in {"ca": cluster.get("certificate-authority-data"), **_credentials(user)}.items():
            path = folder / f"raw-{name}.pem"
            path.write_bytes(base64.b64decode(given))
            files[name] = str(path)
        self._pool = urllib3.PoolManager(ca_certs=files["ca"], cert_file=files["cert"], key_file=files["key"])

    def refusal(self, obj: dict[str, Any], text: str) -> str:
        """Return why the server would not create an object that is sent as this text; nothing where it would."""
        answer = self._pool.request(
            "POST",
            f"{self._url}/{_PLURALS[obj['kind']]}?dryRun=All&fieldValidation=Strict",
            body=text.encode(),
            headers={"content-type": "application/json"},
        )
        return "" if answer.status in (200, 201) else str(json.loads(answer.data).get("message", answer.status))


def _credentials(user: dict[str, str]) -> dict[str, str]:
    return {"cert": user["client-certificate-data"], "key": user["client-key-data"]}
