"""The form in which a provider describes itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from qonverge.providers.figures import Figures

if TYPE_CHECKING:
    from qonverge.providers.options import Options

FEATURES = frozenset(("NonClifford", "ControlFlow", "MidCircuit", "Exact"))
"""What a circuit may ask of an engine: gates that are not Clifford, control flow, measurements and resets before the
end, values without statistical error."""
STATE_POWER: Mapping[str, int] = {"Statevector": 1, "Automatic": 1, "DensityMatrix": 2}
"""Methods that hold a full state of n qubits, 2^(power n) amplitudes. Others are bounded by the engine itself."""
Device = Literal["CPU", "GPU"]
_LEAST_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Virtual:
    """When the embedded mode imitates a device elsewhere by what is published of it: it has no access to it."""

    option: str
    """The provider's option that names the device, as snapshots do."""
    access: str
    """Environment variable that gives access. Whoever sets it, or an ``endpoint``, means the device itself."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A provider: what it can do, and where its code is.

    It is an entry point of the group ``qonverge.providers``. The operator and the command line import it, so its module
    imports nothing heavy; ``implementation`` is imported by the processes that run circuits only.
    """

    name: str
    """The engine's name in ``spec.simulator.engine``: UpperCamelCase, letters and digits."""
    implementation: str
    """``module:class`` of the ``qonverge.backend.engines.protocol.Provider``; with ``cloud`` of the
    ``qonverge.backend.clouds.translators.Translator``; empty with ``executor``."""
    methods: tuple[str, ...]
    """Values of ``spec.simulator.method`` that it takes, Automatic first. The names that ``STATE_POWER`` has,
    Stabilizer and MatrixProductState mean the same for every provider."""
    automatic_method: str = "Automatic"
    """The method that Automatic always comes to; Automatic where the circuit decides."""
    automatic_method_with_noise: str | None = None
    """The same where a device is imitated, if it is another one."""
    lacks: frozenset[str] = frozenset()
    """Of ``FEATURES``: what it refuses; with some options it may refuse more, see ``Options.lacks``."""
    lacks_with_noise: frozenset[str] = frozenset()
    """What it refuses besides where a device is imitated."""
    devices: tuple[Device, ...] = ("CPU",)
    """Where it computes."""
    imitates: bool = True
    """Whether it imitates noisy devices."""
    noiseless_methods: frozenset[str] = frozenset()
    """Methods that hold no errors."""
    pauli_methods: frozenset[str] = frozenset()
    """Methods whose errors must be Pauli errors."""
    state_copies: Mapping[str, int] = field(default_factory=dict)
    """By method: states of full size that it holds at a time, where that is not one."""
    more_bytes: int = 0
    """Memory of its process beyond what Aer's takes."""
    candidate: bool = False
    """Whether the engine Automatic may choose it; its class then has ``preference``."""
    takes_long: bool = False
    """Whether tasks wait in a queue of its own, for minutes or hours: it is given all that it takes, rather than no
    more than keeps its workers busy."""
    costs_money: bool = False
    """Whether its tasks are paid for: jobs with a limit on cost are sent there only where a price is known, the
    backend's ``pricing`` or the vendor's own."""
    cloud: str = ""
    """``module:class`` of the ``qonverge.backend.clouds.protocol.Cloud`` that executes its tasks; empty: none does."""
    executor: str = ""
    """``module:class`` of the ``qonverge.backend.executors.protocol.Executor`` of its tasks, made of an
    ``EngineConfig`` and ``BackendMetrics``; empty: worker processes execute them, or the ``cloud``."""
    virtual: Virtual | None = None
    """When it is imitated without a cluster; None: never."""
    figures: Figures | None = None
    """What its tasks take, before they were timed; None: as Aer's."""
    options: type[Options] | str | None = None
    """The model of ``spec.simulator.options`` or ``spec.plugin.options``, or ``module:class`` of it, which is imported
    when options are checked: models take a moment to load, and workers read descriptors too. None: it has none."""

    @property
    def elsewhere(self) -> bool:
        """Whether it stands for a device that is not in its pods: no ``spec.simulator`` names it."""
        return bool(self.cloud or self.executor)

    def method(self, given: str, *, noisy: bool) -> str:
        """Return the method that the specification's comes to."""
        if given != "Automatic":
            return given
        return (self.automatic_method_with_noise if noisy else None) or self.automatic_method

    def features(self, method: str, *, noisy: bool, options: Mapping[str, Any] | None = None) -> frozenset[str]:
        """Return what circuits may ask for: others are not sent to it."""
        clifford = frozenset(("NonClifford",)) if method == "Stabilizer" else frozenset()
        model = self._model
        optional = frozenset() if model is None else model.lacks(options or {})
        return FEATURES - self.lacks - (self.lacks_with_noise if noisy else frozenset()) - clifford - optional

    def copies(self, method: str) -> int:
        """Return how many states of full size it holds at a time."""
        return self.state_copies.get(method, 1)

    def state_bytes(self, circuit_bytes: int) -> int:
        """Return the memory for states where a circuit has this much."""
        return max(_LEAST_BYTES, circuit_bytes - self.more_bytes) if self.more_bytes else circuit_bytes

    def problem(
        self,
        *,
        method: str = "Automatic",
        device: str = "CPU",
        noisy: bool = False,
        pauli: bool = True,
        elsewhere: bool = False,
        options: Mapping[str, Any] | None = None,
        options_path: str = "simulator.options",
    ) -> str | None:
        """Return why it cannot be set up so; None: it can.

        Args:
            method: as in the specification.
            device: CPU or GPU.
            noisy: whether a device is imitated.
            pauli: whether all of its errors are Pauli errors.
            elsewhere: whether the specification asks for a device elsewhere.
            options: the provider's own; None: none are given.
            options_path: where the specification has them; empty: the API's own model has checked them.
        """
        if self.elsewhere != elsewhere:
            return self.no_simulator if self.elsewhere else self.no_cloud
        if method not in self.methods:
            return f"the method is {method}, and {self.no_method}"
        if device not in self.devices:
            return f"the device is {device}, and {self.no_device}"
        if noisy and not self.imitates:
            return f"the engine {self.name} imitates no devices: leave noise out, or choose another engine"
        if noisy and method in self.noiseless_methods:
            return self.no_errors(method)
        if noisy and not pauli and method in self.pauli_methods:
            return self.pauli_only(method)
        return self._of_options(options, options_path) if options_path else None

    @property
    def no_method(self) -> str:
        """What is said where the method is none of its own."""
        return f"the engine {self.name} has the methods {listed(self.methods)}: choose one, or another engine"

    @property
    def no_device(self) -> str:
        """What is said where the device is none of its own."""
        return f"the engine {self.name} computes on {listed(self.devices)} only: choose that, or another engine"

    @property
    def no_simulator(self) -> str:
        """What is said where it is taken for a simulator."""
        return f"the engine {self.name} is a device elsewhere: use the section of spec that is made for it, or plugin"

    @property
    def no_cloud(self) -> str:
        """What is said where it is taken for a device elsewhere."""
        return f"the provider {self.name} is a simulator: name it in spec.simulator.engine"

    def no_errors(self, method: str) -> str:
        """Return what is said where a device is imitated with a method that holds no errors."""
        others = [each for each in self.methods if each not in self.noiseless_methods]
        return f"the method {method} of {self.name} holds no errors: choose {listed(others, 'or')}"

    def pauli_only(self, method: str) -> str:
        """Return what is said where a method takes Pauli errors only."""
        return (
            f"the method {method} of {self.name} takes Pauli noise only: give noise.rates without t1 and t2, or the "
            "method Automatic"
        )

    @property
    def _model(self) -> type[Options] | None:
        if not isinstance(self.options, str):
            return self.options
        module, _, name = self.options.partition(":")
        model: type[Options] = getattr(import_module(module), name)
        return model

    def _of_options(self, options: Mapping[str, Any] | None, path: str) -> str | None:
        model = self._model
        if model is None:
            return None if options is None else f"the engine {self.name} has no options: leave {path} out"
        from pydantic import ValidationError

        try:
            model.model_validate(options or {})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in (path, *first["loc"]))
            if first["type"] == "extra_forbidden":
                known = sorted(field.alias or name for name, field in model.model_fields.items())
                return f"{place}: the engine {self.name} has no such option; it has {listed(known)}"
            return f"{place}: {first['msg']}"
        return None


def listed(words: Sequence[str], joint: str = "and") -> str:
    """Return words as in a sentence."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joint} {words[-1]}" if words else ""
