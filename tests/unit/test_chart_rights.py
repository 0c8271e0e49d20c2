"""The chart's roles: what the operator may do, and where; what people may do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qonverge.api.registry import RESOURCES
from tests.unit.test_chart import helm, one, render, template

__all__ = ["helm"]

Right = tuple[str, str, str]
_WATCHES = "list watch"
_SEES = {
    ("qonverge.io", "hybridjobs"): f"get {_WATCHES} patch delete",
    ("qonverge.io", "quantumbackends"): f"{_WATCHES} create patch delete",
    ("qonverge.io", "hybridjobs/status"): "patch",
    ("qonverge.io", "quantumbackends/status"): "patch",
    ("qonverge.io", "quantumquotas"): _WATCHES,
    ("qonverge.io", "quantumquotas/status"): "patch",
    ("apps", "deployments"): _WATCHES,
    ("apps", "replicasets"): _WATCHES,
    ("batch", "jobs"): _WATCHES,
    ("", "services"): _WATCHES,
    ("", "pods"): _WATCHES,
    ("", "events"): "create",
}
"""What it needs wherever it looks."""
_MAKES = {
    ("apps", "deployments"): "create patch",
    ("batch", "jobs"): "create patch delete",
    ("", "services"): "create patch delete",
    ("networking.k8s.io", "networkpolicies"): "create patch delete",
    ("", "configmaps"): "get create patch",
    ("", "secrets"): "create patch delete",
    ("", "pods"): "patch",
    ("", "pods/log"): "get",
    ("", "events"): "list",
}
"""What it needs where there are backends or programs."""
_CLASSES = {("scheduling.k8s.io", "priorityclasses"): "list"}
_AT_HOME = {("", "secrets"): "create get patch", ("", "configmaps"): "get create patch", ("", "events"): "create"}
_AMONG_OPERATORS = {("coordination.k8s.io", "leases"): "create list update", ("", "events"): "create"}
LEASE = "qonverge.quantum.qonverge"


def rights(role: dict[str, Any]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def needs(*rules: dict[tuple[str, str], str]) -> set[Right]:
    return {(*what, verb) for each in rules for what, verbs in each.items() for verb in verbs.split()}


def bound(
    objects: Sequence[dict[str, Any]], account: str = "qonverge", namespace: str = "quantum"
) -> dict[str, set[Right]]:
    """Return what the operator may do in each namespace, and under "everywhere" what in all and beside them."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    found: dict[str, set[Right]] = {}
    for binding in objects:
        if binding["kind"].endswith("Binding") and binding["subjects"] == [subject]:
            (role,) = [
                each
                for each in objects
                if (each["kind"], each["metadata"]["name"]) == (binding["roleRef"]["kind"], binding["roleRef"]["name"])
                and each["metadata"].get("namespace") in (None, binding["metadata"].get("namespace"))
            ]
            found.setdefault(binding["metadata"].get("namespace", "everywhere"), set()).update(rights(role))
    return found


def test_everywhere_it_may_do_exactly_what_it_needs(helm: Path) -> None:
    namespaces = {("", "namespaces"): "list"}
    assert bound(render(helm)) == {
        "everywhere": needs(_SEES, _MAKES, _CLASSES, namespaces),
        "quantum": needs(_AT_HOME),
        "kube-system": needs(_AMONG_OPERATORS),
    }


def test_where_tenants_are_named_it_makes_objects_in_their_namespaces_only(helm: Path) -> None:
    objects = render(helm, "--set", "rbac.tenants={a,b}")
    assert bound(objects) == {
        "everywhere": needs(_SEES, _CLASSES, {("", "namespaces"): "list"}),
        "a": needs(_MAKES),
        "b": needs(_MAKES),
        "quantum": needs(_AT_HOME),
        "kube-system": needs(_AMONG_OPERATORS),
    }
    # To this role the documentation has administrators bind it.
    assert rights(one(objects, "ClusterRole", "qonverge-tenant")) == needs(_MAKES)


@pytest.mark.parametrize("classes", [True, False])
def test_with_watched_namespaces_it_has_rights_there_and_at_most_one_beside_them(helm: Path, classes: bool) -> None:
    options = (
        f"watchNamespaces={{a,b}},rbac.aggregate=false,crds.upgrade=false,rbac.priorityClasses={str(classes).lower()}"
    )
    objects = render(helm, "--set", options)
    there = needs(_SEES, _MAKES, {("", "namespaces"): "get"})
    beside = {"everywhere": needs(_CLASSES)} if classes else {}
    at_home = {"quantum": needs(_AT_HOME), "kube-system": needs(_AMONG_OPERATORS)}
    assert bound(objects) == {"a": there, "b": there, **at_home, **beside}
    assert [o["kind"] for o in objects if o["kind"].startswith("ClusterRole")] == (
        ["ClusterRole", "ClusterRoleBinding"] if classes else []
    )
    # Of Namespaces it reads the one that the role is in.
    (rule,) = [each for each in one(objects[:-1], "Role", LEASE)["rules"] if "update" in each["verbs"]]
    assert rule["resourceNames"] == [LEASE]
    for role in [o for o in objects if o["kind"] == "Role" and o["metadata"]["name"] == "qonverge-namespaced"]:
        assert role["rules"][-1]["resourceNames"] == [role["metadata"]["namespace"]]


def test_single_objects_are_reached_by_their_names(helm: Path) -> None:
    objects = render(helm)
    named = {
        (verb, *rule["resourceNames"])
        for role in ("qonverge", LEASE)
        for rule in one(objects, "Role", role)["rules"]
        for verb in rule["verbs"]
        if "resourceNames" in rule
    }
    assert named == {
        *((verb, "qonverge-signing-key") for verb in ("get", "patch")),
        *((verb, "qonverge-forecasts") for verb in ("get", "create", "patch")),
        ("update", LEASE),
    }


def test_roles_are_left_to_others_where_they_are_to_be(helm: Path) -> None:
    objects = render(helm, "--set", "rbac.create=false,serviceAccount.create=false,serviceAccount.name=own")
    assert {o["kind"] for o in objects} & {"Role", "RoleBinding", "ClusterRole", "ServiceAccount"} == set()
    assert one(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "own"
    named = render(helm, "--set", "serviceAccount.name=own,serviceAccount.annotations.role=archive")
    account = one(named, "ServiceAccount", "own")
    assert account["metadata"]["annotations"] == {"role": "archive"}
    (subject,) = one(named, "RoleBinding")["subjects"]
    assert subject["name"] == "own"


def test_two_ways_to_bound_the_same_are_refused(helm: Path) -> None:
    done = template(helm, "--set", "watchNamespaces={a},rbac.tenants={a}")
    assert done.returncode != 0
    assert "leave one of them empty" in done.stderr


def test_each_kind_has_a_viewer_and_an_editor_in_the_usual_roles(helm: Path) -> None:
    objects = render(helm)
    read = "get list watch"
    for resource in RESOURCES.values():
        what, into = (resource.group, resource.plural), "rbac.authorization.k8s.io/aggregate-to-"
        viewer = one(objects, "ClusterRole", f"qonverge-{resource.singular}-viewer")
        editor = one(objects, "ClusterRole", f"qonverge-{resource.singular}-editor")
        assert rights(viewer) == needs({what: read})
        scale = {(resource.group, f"{resource.plural}/scale"): "get update patch"} if resource.scale else {}
        assert rights(editor) == needs({what: f"{read} create update patch delete deletecollection"}, scale)
        parts = [{label for label in role["metadata"]["labels"] if label.startswith(into)} for role in (viewer, editor)]
        # Who may change a quota is for administrators of the cluster to say.
        editors = {"edit", "admin"} if resource.for_editors else set()
        assert parts == [{f"{into}view"}, {f"{into}{role}" for role in editors}]
    roles = [o for o in render(helm, "--set", "rbac.aggregate=false") if o["kind"] == "ClusterRole"]
    assert not [role for role in roles if role["metadata"]["name"].endswith(("-viewer", "-editor"))]
