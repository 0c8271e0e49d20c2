"""The values of the chart, described once: by the comments of ``values.yaml``.

``python -m qonverge.api.chart_values CHART PAGE`` writes them into ``values.schema.json`` as descriptions and into a
page as a table; a test compares both with what is committed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_KEY = re.compile(r"( *)([A-Za-z]+):")
_PAGE = """# Values of the chart

Generated from `charts/qonverge/values.yaml`, which has examples too. Helm refuses a value that is not here, and one
of another type.

| value | default | meaning |
|---|---|---|
"""


def comments(text: str) -> dict[str, str]:
    """Return what the comments above keys say, by the keys' paths; what is indented, or a list, is an example."""
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            said.append(stripped[1:])
        elif (match := _KEY.match(line)) is not None:
            depth = len(match[1])
            path = [*(each for each in path if each[0] < depth), (depth, match[2])]
            words = [each.strip() for each in said if not each.startswith(("  ", " - "))]
            if words:
                found[".".join(name for _, name in path)] = " ".join(words)
            said = []
        else:
            said = []
    return found


def described(schema: dict[str, Any], said: Mapping[str, str], path: str = "") -> dict[str, Any]:
    """Return the schema with what is said of its values as descriptions."""
    properties = {}
    for name, each in schema["properties"].items():
        own = f"{path}.{name}" if path else name
        kept = {key: value for key, value in each.items() if key != "description"}
        found = described(kept, said, own) if "properties" in kept else kept
        properties[name] = {"description": said[own], **found} if own in said else found
    return {**schema, "properties": properties}


def rows(schema: Mapping[str, Any], values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any, str]]:
    """Yield path, default and description of each value, in their order."""
    for name, default in values.items():
        own, each = f"{path}.{name}" if path else name, schema["properties"][name]
        if "properties" in each:
            yield from rows(each, default, own)
        else:
            yield own, default, each.get("description", "")


def render(chart: Path) -> tuple[str, str]:
    """Return the schema and the page of a chart's folder."""
    text = (chart / "values.yaml").read_text()
    schema = described(json.loads((chart / "values.schema.json").read_text()), comments(text))
    lines = [
        f"| `{path}` | `{json.dumps(default)}` | {description.replace('|', '&#124;')} |\n"
        for path, default, description in rows(schema, yaml.safe_load(text))
    ]
    return json.dumps(schema, indent=2) + "\n", _PAGE + "".join(lines)


def main(chart: str, page: str) -> None:
    """Write the schema and the page."""
    schema, table = render(Path(chart))
    (Path(chart) / "values.schema.json").write_text(schema)
    Path(page).write_text(table)


if __name__ == "__main__":
    main(*sys.argv[1:])
