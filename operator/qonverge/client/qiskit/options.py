"""Options of the primitives, set as those of IBM's are: when they are made, as attributes, or by ``update``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from qonverge.client.numbers import precision, shots
from qonverge.client.seeds import Seed, checked_seed

Check = Callable[[Any, str], Any]


class Options:
    """Named values, each checked when it is set; None is unset."""

    _checks: ClassVar[Mapping[str, Check]] = {}

    def __init__(self, **given: Any) -> None:
        """Set options.

        Raises:
            AttributeError: there is no such option.
            TypeError, ValueError: a value is not one that the option takes.
        """
        for name in self._checks:
            object.__setattr__(self, name, None)
        self.update(**given)

    @classmethod
    def of(cls, given: Any) -> Self:
        """Return a copy of options, or those in a dict."""
        if given is None:
            return cls()
        if isinstance(given, cls):
            return cls(**vars(given))
        if isinstance(given, Mapping):
            return cls(**given)
        raise TypeError(f"options is of type {type(given).__name__}: give a dict, or a {cls.__name__}")

    def update(self, **given: Any) -> None:
        """Set several options."""
        for name, value in given.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        check = self._checks.get(name)
        if check is None:
            raise AttributeError(self._unknown(name))
        object.__setattr__(self, name, None if value is None else check(value, name))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(self._unknown(name))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]  # options change

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def _unknown(self, name: str) -> str:
        close = get_close_matches(name, self._checks, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"{type(self).__name__} has no option {name}, only {', '.join(self._checks)}{hint}"


class SamplerOptions(Options):
    """Options of a sampler."""

    _checks: ClassVar[Mapping[str, Check]] = {"default_shots": shots, "seed_simulator": checked_seed}

    default_shots: int | None
    """Runs of each parameter set where neither a pub nor ``run`` says how many."""
    seed_simulator: Seed
    """Seed of each task, or what draws them."""


class EstimatorOptions(Options):
    """Options of an estimator."""

    _checks: ClassVar[Mapping[str, Check]] = {
        "default_precision": precision,
        "default_shots": shots,
        "seed_estimator": checked_seed,
    }

    default_precision: float | None
    """Standard error wanted where neither a pub nor ``run`` names one; 0 asks for exact values."""
    default_shots: int | None
    """Runs of each parameter set and measured basis in place of a precision, which it overrides."""
    seed_estimator: Seed
    """Seed of each task, or what draws them."""
