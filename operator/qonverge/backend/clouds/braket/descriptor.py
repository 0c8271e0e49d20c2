"""Amazon Braket as the API, placement and the command line see it. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from qonverge.providers.descriptor import Descriptor
from qonverge.providers.figures import Figures
from qonverge.providers.options import Options

_PACKAGE = "qonverge.backend.clouds.braket"


class BraketOptions(Options):
    """Which device runs the tasks, and where results go. ``spec.braket`` has the same fields."""

    device: Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:braket:[a-z0-9-]*:[0-9]*:device(/[A-Za-z0-9._-]+){3}$")]
    """ARN of the device."""
    bucket: Annotated[str, Field(min_length=3, max_length=63)]
    """S3 bucket to which Braket writes results; in the region of the device."""
    prefix: Annotated[str, Field(min_length=1, max_length=512)] = "qonverge"
    """Beginning of the keys of results in the bucket."""
    region: str | None = None
    """AWS region; None: that of the device's ARN, else ``AWS_REGION`` of the credentials or of the environment."""
    reservation: str | None = None
    """ARN of a reservation of the device."""
    endpoint: str | None = None
    """URL of Braket's API; None: the region's own."""
    s3_endpoint: str | None = None
    """URL of S3's API; None: the region's own."""

    @model_validator(mode="after")
    def _one_region(self) -> Self:
        if self.region is not None and self.device_region not in ("", self.region):
            raise ValueError(f"region is {self.region}, and the device is in {self.device_region}: leave region out")
        return self

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> Self:
        """Return the options that a configuration has.

        Raises:
            LookupError: they are none; the message names the field.
        """
        try:
            return cls.model_validate(given or {})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, ("options", *first["loc"])))
            raise LookupError(f"{place}: {first['msg']}") from None

    @property
    def device_region(self) -> str:
        """The region in the device's ARN; empty for simulators, which are in several."""
        return self.device.split(":")[3]

    @property
    def family(self) -> str:
        """Who made the device, as ARNs name them, such as ``ionq``; ``amazon`` for the on-demand simulators."""
        return self.device.split("/")[2].lower()

    @property
    def device_name(self) -> str:
        """The device's own name, the last part of its ARN."""
        return self.device.rsplit("/", 1)[1]


BRAKET = Descriptor(
    name="Braket",
    implementation=f"{_PACKAGE}.translator:BraketTranslator",
    cloud=f"{_PACKAGE}.cloud:BraketCloud",
    methods=("Automatic",),
    # Some devices take measurements on the way as an experimental capability; no program is sent that needs one.
    lacks=frozenset(("ControlFlow", "MidCircuit", "Exact")),
    imitates=False,
    takes_long=True,
    costs_money=True,
    figures=Figures(
        # What a task takes besides its shots: it is written to a queue, and its result to S3 (an estimate, which the
        # models correct). What shots and gates take is that of any device.
        task_seconds=1.0,
        prepare_seconds=2e-4,
        circuit_seconds=2.0,
        circuit_operation_seconds=0.0,
        run_seconds=0.0,
        run_operation_seconds=0.0,
        amplitude_seconds=0.0,
        threaded_qubits=0,
        bond_seconds=0.0,
        bond_cubed_seconds=0.0,
        bond_shot_seconds=0.0,
        tableau_seconds=0.0,
        drawn_bits=0,
        drawn_outcome_seconds=0.0,
        shot_seconds=0.0,
        term_seconds=5e-6,
        term_outcome_seconds=2e-8,
        term_number_seconds=0.0,
        narrow_clifford_qubits=0,
        operation_bytes=1024,
        outcome_bytes=400,
    ),
    options=BraketOptions,
)
