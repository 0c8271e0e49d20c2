"""Manifests' bytes as documents: JSON or YAML, told apart by what they hold, as kubectl does."""

from __future__ import annotations

import codecs

from qonverge.documents import kube_yaml, strict_json
from qonverge.documents.faults import Document, Unreadable, fault_at

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def read_documents(data: bytes) -> list[Document]:
    """Return the documents of a file.

    Raises:
        Unreadable: with the place of the first fault after which nothing can be understood.
    """
    text = decoded(data)
    if not text.lstrip().startswith("{"):
        return kube_yaml.read_stream(text)
    try:
        return strict_json.read_stream(text)
    except Unreadable as of_json:
        if of_json.fault.line is None:
            raise
        # What begins with a brace may still be a mapping in YAML's short form. The reader that gets further is right.
        try:
            return kube_yaml.read_stream(text)
        except Unreadable as of_yaml:
            raise max(of_json, of_yaml, key=_place) from None


def decoded(data: bytes) -> str:
    """Return the text of a file: UTF-8, or what its byte order mark says.

    Raises:
        Unreadable: with the place of the first byte that is no text.
    """
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        before = data[len(mark) : len(mark) + error.start].decode(encoding)
        problem = f"the byte 0x{error.object[error.start]:02X} is no {encoding.upper()} text"
        raise Unreadable(fault_at(before, len(before), problem)) from None


def _place(error: Unreadable) -> tuple[int, int]:
    return error.fault.line or 0, error.fault.column or 0
