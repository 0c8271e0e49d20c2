"""A program's pod with what its job asks of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from qonverge.api.pod_program import ProgramTemplate
from qonverge.controller.objects.node_placement import both


def merged(pod: Mapping[str, Any], given: ProgramTemplate) -> dict[str, Any]:
    """Return a pod template with what the job asks for; where both say something, Qonverge's own stays.

    Args:
        pod: ``metadata`` and ``spec`` as Qonverge makes them; the first container is the program's.
        given: what the job asks for.
    """
    metadata, spec = pod["metadata"], dict(pod["spec"])
    program, *others = spec["containers"]
    asked = _forms(given.env)
    program = {**program, "env": own_first(program["env"], asked)}
    program["volumeMounts"] = [*program["volumeMounts"], *_forms(given.volume_mounts)]
    if given.env_from:
        program["envFrom"] = _forms(given.env_from)
    if given.image_pull_policy is not None:
        program["imagePullPolicy"] = given.image_pull_policy
    spec["containers"] = [program, *others]
    if inits := spec.get("initContainers"):
        # Such as the address of a proxy.
        spec["initContainers"] = [{**each, "env": own_first(each["env"], asked)} for each in inits]
    spec["volumes"] = [*spec["volumes"], *_forms(given.volumes)]
    if given.image_pull_secrets:
        spec["imagePullSecrets"] = _forms(given.image_pull_secrets)
    if given.service_account_name is not None:
        spec["serviceAccountName"] = given.service_account_name
    if given.node_selector:
        spec["nodeSelector"] = dict(given.node_selector)
    if given.tolerations:
        spec["tolerations"] = [*spec.get("tolerations", []), *_forms(given.tolerations)]
    if given.affinity is not None:
        spec["affinity"] = both(spec.get("affinity") or {}, _form(given.affinity))
    return {
        "metadata": {
            "labels": {**given.labels, **metadata["labels"]},
            "annotations": {**given.annotations, **metadata["annotations"]},
        },
        "spec": spec,
    }


def own_first(own: Sequence[dict[str, Any]], asked: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return variables, Qonverge's own first, so that others can refer to them, and in place of any of their names."""
    names = {variable["name"] for variable in own}
    return [*own, *(variable for variable in asked if variable["name"] not in names)]


def _forms(models: Iterable[BaseModel]) -> list[dict[str, Any]]:
    return [_form(model) for model in models]


def _form(model: BaseModel) -> dict[str, Any]:
    # As it was given: an emptyDir is one by its name alone.
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True)
