"""A program's environment without a cluster. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from qonverge.api.pod_program import EnvVar
from qonverge.local.processes import CannotStart

_REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")


def environment_of(
    given: Sequence[EnvVar], variables: Mapping[str, str], surroundings: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables that a job gives its program.

    What a Secret or a ConfigMap of the cluster holds is taken from the surroundings, under the variable's own name.

    Args:
        given: the job's variables.
        variables: those that every program has, to which values may refer.
        surroundings: those of whoever runs it.

    Raises:
        CannotStart: a value is not there.
    """
    found: dict[str, str] = {}
    for variable in given:
        if variable.value is not None:
            found[variable.name] = expanded(variable.value, {**variables, **found})
        elif variable.name in surroundings:
            found[variable.name] = surroundings[variable.name]
        else:
            raise CannotStart(
                f"the program's variable {variable.name} is in the cluster: set it in the environment of this command"
            )
    return found


def expanded(text: str, known: Mapping[str, str]) -> str:
    """Return a text with $(NAME) replaced as by Kubernetes: $$ is one $, and what is not known stays."""
    return _REFERENCE.sub(lambda each: "$" if each[1] is None else known.get(each[1], each[0]), text)
