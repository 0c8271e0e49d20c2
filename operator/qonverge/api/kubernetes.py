"""What the API server asks of every object's metadata, and of ConfigMaps."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from qonverge.api.base import SpecModel
from qonverge.documents.excerpt import excerpt

_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAMESPACE = re.compile(_LABEL)
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_MOST_ANNOTATIONS = 256 * 1024
MOST_CONFIG_MAP = 1024 * 1024
_FINALIZERS = ("kubernetes", "foregroundDeletion", "orphan")


def _is_name(value: str) -> str:
    if not _SUBDOMAIN.fullmatch(value):
        raise ValueError("use at most 253 lower case letters, digits, '-' and '.', a letter or digit at each end")
    return value


def _is_namespace(value: str) -> str:
    if not value:
        return "default"
    if not _NAMESPACE.fullmatch(value):
        raise ValueError("use at most 63 lower case letters, digits and '-', a letter or digit at each end")
    return value


def _is_key(value: str) -> str:
    prefix, slash, name = value.rpartition("/")
    if (slash and not _SUBDOMAIN.fullmatch(prefix)) or not _QUALIFIED.fullmatch(name):
        raise ValueError("use a name such as app or example.com/app, at most 63 letters, digits, '-', '_' and '.'")
    return value


def _is_annotation(value: str) -> str:
    _is_key(value.lower())
    return value


def _is_label_value(value: str) -> str:
    if value and not _QUALIFIED.fullmatch(value):
        raise ValueError("use at most 63 letters, digits, '-', '_' and '.', a letter or digit at each end")
    return value


def _is_data_key(value: str) -> str:
    if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", value) or value.startswith("..") or value == ".":
        raise ValueError("use at most 253 letters, digits, '-', '_' and '.'")
    return value


def _is_base64(value: str) -> str:
    try:
        base64.b64decode("".join(value.splitlines()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("base64 is needed") from None
    return value


def _fit_together(value: dict[str, str]) -> dict[str, str]:
    size = sum(len(text.encode()) for pair in value.items() for text in pair)
    if size > _MOST_ANNOTATIONS:
        raise ValueError(f"the annotations have {size} bytes together: at most {_MOST_ANNOTATIONS} are taken")
    return value


_DataKey = Annotated[str, AfterValidator(_is_data_key)]


class OwnerReference(SpecModel):
    """``metav1.OwnerReference``."""

    api_version: Annotated[str, Field(min_length=1)]
    kind: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    uid: Annotated[str, Field(min_length=1)]
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class Metadata(SpecModel):
    """``metav1.ObjectMeta``, by the rules for what a person writes."""

    name: Annotated[str, AfterValidator(_is_name)]
    namespace: Annotated[str, AfterValidator(_is_namespace)] = "default"
    labels: dict[Annotated[str, AfterValidator(_is_key)], Annotated[str, AfterValidator(_is_label_value)]] = {}
    annotations: Annotated[
        dict[Annotated[str, AfterValidator(_is_annotation)], str], AfterValidator(_fit_together)
    ] = {}
    finalizers: list[Annotated[str, AfterValidator(_is_key)]] = []
    owner_references: list[OwnerReference] = []
    # What the API server writes: objects that it gave are read again.
    generate_name: str | None = None
    self_link: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    managed_fields: list[Any] = []


class ConfigMap(SpecModel):
    """``core/v1.ConfigMap``."""

    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: Metadata
    data: dict[_DataKey, str] = {}
    binary_data: dict[_DataKey, Annotated[str, AfterValidator(_is_base64)]] = {}
    immutable: bool | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if plain := [name for name in self.metadata.finalizers if "/" not in name and name not in _FINALIZERS]:
            raise ValueError(f"the finalizer {excerpt(plain[0])} needs a domain, such as example.com/{plain[0][:63]}")
        if both := self.data.keys() & self.binary_data.keys():
            raise ValueError(f"data and binaryData both have the key {excerpt(min(both))}")
        size = sum(len(text.encode()) for text in self.data.values())
        size += sum(len(base64.b64decode(coded)) for coded in self.binary_data.values())
        if size > MOST_CONFIG_MAP:
            raise ValueError(
                f"the ConfigMap holds {size} bytes and Kubernetes takes {MOST_CONFIG_MAP}: compress a circuit by gzip, "
                "or store it as QPY"
            )
        return self
