"""Programs that run in a pod of their own: what they may ask of it, and containers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from qonverge.api.affinity import Affinity
from qonverge.api.backend import ResourceRequirements, Toleration
from qonverge.api.base import ConfigMapKeyRef, OneOfModel, Rule, SecretKeyRef, SpecModel, cel
from qonverge.api.quantity import Memory

OWN_VARIABLES = "QONVERGE_"
OWN_VOLUMES = "qonverge-"
OWN_LABELS = "qonverge.io/"
OWN_FOLDERS = ("/run/qonverge", "/program", "/requirements", "/output", "/tmp")  # noqa: S108 - which is a folder of the pod's own

_LONGEST_LABEL = 317
_VARIABLE = f"names that begin with {OWN_VARIABLES} are Qonverge's own"
_VOLUME = f"names that begin with {OWN_VOLUMES} are Qonverge's own"
_LABEL = f"labels that begin with {OWN_LABELS} are Qonverge's own, and names have at most {_LONGEST_LABEL} characters"
_FOLDER = f"{', '.join(OWN_FOLDERS)} are Qonverge's own: mount it elsewhere"

_Name = Annotated[str, Field(min_length=1, max_length=253)]


def _map(key: str) -> dict[str, Any]:
    """Return what makes a list one whose items are told apart by a key."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def _twice(items: list[Any], key: str) -> list[Any]:
    """Refuse two items with the same key, as the API server does.

    Raises:
        ValueError: there are.
    """
    seen = set()
    for item in items:
        if (value := getattr(item, key)) in seen:
            raise ValueError(f"{value} is given twice")
        seen.add(value)
    return items


class Near(SpecModel):
    """Where a program's pod runs: at a site, or near its backend."""

    site: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """A site, such as that of the program's data: nodes with the label `qonverge.io/site` of this value. Default:
    nodes with the labels of the backend's `location`."""
    nodes: Literal["Required", "Preferred"] = "Preferred"
    """Whether other nodes are taken where these have no room."""


class LocalReference(SpecModel):
    """An object in the job's own namespace."""

    name: _Name
    """Its name."""


class FieldRef(SpecModel):
    """A field of the pod, as in ``core/v1.ObjectFieldSelector``."""

    field_path: _Name
    """Such as spec.nodeName."""


class EnvVarSource(OneOfModel):
    """Where a variable's value is, as in ``core/v1.EnvVarSource``."""

    one_of = ("secretKeyRef", "configMapKeyRef", "fieldRef")
    what = "valueFrom"

    secret_key_ref: SecretKeyRef | None = None
    """A Secret's key."""
    config_map_key_ref: ConfigMapKeyRef | None = None
    """A ConfigMap's key."""
    field_ref: FieldRef | None = None
    """A field of the pod."""


class EnvVar(OneOfModel):
    """A variable of the environment, as in ``core/v1.EnvVar``."""

    one_of = ("value", "valueFrom")
    what = "env"

    name: Annotated[
        str,
        Field(
            pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$",
            max_length=253,
            json_schema_extra=cel(Rule(f"!self.startsWith('{OWN_VARIABLES}')", _VARIABLE)),
        ),
    ]
    """The variable's name."""
    value: Annotated[str, Field(max_length=32_768)] | None = None
    """Its value; $(NAME) is that of a variable before it, Qonverge's own among them."""
    value_from: EnvVarSource | None = None
    """Where its value is."""

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if value.startswith(OWN_VARIABLES):
            raise ValueError(_VARIABLE)
        return value


class EnvFromSource(OneOfModel):
    """An object whose keys become variables, as in ``core/v1.EnvFromSource``."""

    one_of = ("secretRef", "configMapRef")
    what = "envFrom"

    secret_ref: LocalReference | None = None
    """A Secret."""
    config_map_ref: LocalReference | None = None
    """A ConfigMap."""
    prefix: Annotated[str, Field(max_length=64)] | None = None
    """What goes before each variable's name."""


class KeyToPath(SpecModel):
    """A key that becomes a file, as in ``core/v1.KeyToPath``."""

    key: _Name
    """The key."""
    path: Annotated[str, Field(min_length=1, max_length=1024)]
    """The file's path within the volume."""


_Items = Annotated[list[KeyToPath], Field(max_length=64)]


class EmptyDir(SpecModel):
    """A folder that is empty at first and ends with the pod, as in ``core/v1.EmptyDirVolumeSource``."""

    medium: Literal["Memory"] | None = None
    """Memory: it is kept there, and counts as the program's. Default: the node's disk."""
    size_limit: Memory | None = None
    """Most that it may hold."""


class ConfigMapVolume(SpecModel):
    """A ConfigMap's keys as files, as in ``core/v1.ConfigMapVolumeSource``."""

    name: _Name
    """Its name."""
    items: _Items = []
    """Which keys become which files. Default: each key a file of its name."""
    optional: bool | None = None
    """Whether the pod starts without it."""


class SecretVolume(SpecModel):
    """A Secret's keys as files, as in ``core/v1.SecretVolumeSource``."""

    secret_name: _Name
    """Its name."""
    items: _Items = []
    """Which keys become which files. Default: each key a file of its name."""
    optional: bool | None = None
    """Whether the pod starts without it."""


class ClaimVolume(SpecModel):
    """A claimed volume, as in ``core/v1.PersistentVolumeClaimVolumeSource``."""

    claim_name: _Name
    """Name of the PersistentVolumeClaim."""
    read_only: bool | None = None
    """Whether it cannot be written."""


class Volume(OneOfModel):
    """A volume, as in ``core/v1.Volume``; there is no hostPath."""

    one_of = ("emptyDir", "configMap", "secret", "persistentVolumeClaim")
    what = "volumes"

    name: Annotated[
        str,
        Field(
            pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            max_length=63,
            json_schema_extra=cel(Rule(f"!self.startsWith('{OWN_VOLUMES}')", _VOLUME)),
        ),
    ]
    """The volume's name."""
    empty_dir: EmptyDir | None = None
    """A folder that is empty at first and ends with the pod."""
    config_map: ConfigMapVolume | None = None
    """A ConfigMap's keys as files."""
    secret: SecretVolume | None = None
    """A Secret's keys as files."""
    persistent_volume_claim: ClaimVolume | None = None
    """A claimed volume."""

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if value.startswith(OWN_VOLUMES):
            raise ValueError(_VOLUME)
        return value


def _is_own(path: str) -> bool:
    return any(path.rstrip("/") == folder or path.startswith(f"{folder}/") for folder in OWN_FOLDERS)


class VolumeMount(SpecModel):
    """Where a volume is, as in ``core/v1.VolumeMount``."""

    name: Annotated[str, Field(max_length=63)]
    """The volume's name."""
    mount_path: Annotated[
        str,
        Field(
            pattern="^/[^:]+$",
            max_length=1024,
            json_schema_extra=cel(
                Rule(
                    " && ".join(f"!(self + '/').startsWith('{folder}/')" for folder in OWN_FOLDERS),
                    _FOLDER,
                )
            ),
        ),
    ]
    """The folder in the container."""
    sub_path: Annotated[str, Field(max_length=1024)] | None = None
    """A folder or file within the volume. Default: all of it."""
    read_only: bool | None = None
    """Whether it cannot be written here."""

    @field_validator("mount_path")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if _is_own(value):
            raise ValueError(_FOLDER)
        return value


class ProgramTemplate(SpecModel):
    """What a program's pod gets beside Qonverge's own settings, which win: its security context, its token, its labels.

    The administrator may bound it, see `programs.policy` of the chart. Without a cluster only `env` applies.
    """

    labels: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]],
        Field(
            max_length=64,
            json_schema_extra=cel(
                Rule(f"self.all(name, size(name) <= {_LONGEST_LABEL} && !name.startsWith('{OWN_LABELS}'))", _LABEL)
            ),
        ),
    ] = {}
    """Further labels."""
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=16_384)]], Field(max_length=64)] = {}
    """Further annotations."""
    env: Annotated[list[EnvVar], Field(max_length=256, json_schema_extra=_map("name"))] = []
    """Variables of the program's environment."""
    env_from: Annotated[list[EnvFromSource], Field(max_length=32)] = []
    """Secrets and ConfigMaps whose keys become variables."""
    volumes: Annotated[list[Volume], Field(max_length=64, json_schema_extra=_map("name"))] = []
    """Volumes."""
    volume_mounts: Annotated[list[VolumeMount], Field(max_length=64, json_schema_extra=_map("mountPath"))] = []
    """Where they are."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the image is pulled. Default: as the operator's installation says."""
    image_pull_secrets: Annotated[list[LocalReference], Field(max_length=16, json_schema_extra=_map("name"))] = []
    """Secrets with which the image is pulled."""
    service_account_name: _Name | None = None
    """ServiceAccount of the pod, to which a cloud's workload identity may be bound. It has no token of the cluster.
    Default: the namespace's own."""
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=32)] = {}
    """Labels that a node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=64)] = []
    """Taints that are tolerated."""
    affinity: Affinity | None = None
    """Nodes that the pod needs or prefers, beside what `near` says."""

    @field_validator("labels")
    @classmethod
    def _are_free(cls, value: dict[str, str]) -> dict[str, str]:
        if any(name.startswith(OWN_LABELS) or len(name) > _LONGEST_LABEL for name in value):
            raise ValueError(_LABEL)
        return value

    @field_validator("env", "volumes", "image_pull_secrets")
    @classmethod
    def _have_names_of_their_own(cls, value: list[Any]) -> list[Any]:
        return _twice(value, "name")

    @field_validator("volume_mounts")
    @classmethod
    def _have_folders_of_their_own(cls, value: list[VolumeMount]) -> list[VolumeMount]:
        return _twice(value, "mount_path")


Arguments = Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=256)]
Image = Annotated[str, Field(min_length=1, max_length=1024)]


class Container(SpecModel):
    """A program in any language: a container that calls the backend."""

    image: Image
    """Container image. It runs as user and group 65532 and can write to `/tmp`, `/output` and its volumes."""
    command: Arguments = []
    """What is started. Default: the image's entry point."""
    args: Arguments = []
    """Its arguments. Default: the image's, where there is no `command` either."""
    resources: ResourceRequirements = ResourceRequirements()
    """CPU, memory and GPUs of the program's pod. Without a cluster they do not apply."""
    near: Near | None = None
    """On which nodes the program's pod runs. Default: any. Without a cluster it does not apply."""
    template: ProgramTemplate = ProgramTemplate()
    """What else the program's pod gets."""

    @property
    def arguments(self) -> dict[str, list[str]]:
        """Words of the command line, by the field that has them."""
        return {"command": self.command, "args": self.args}

    @property
    def requirements(self) -> list[str]:
        """Packages that are installed for it: none, an image has its own."""
        return []

    @property
    def uses(self) -> dict[str, tuple[str, str]]:
        """Objects that it uses beside those of `template`: what they are and their name, by the field that has it."""
        return {}
