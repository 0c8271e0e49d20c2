"""What a backend server says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from qonverge.sites.link import Link
from qonverge.wire.fields import Fields
from qonverge.wire.vendor import DeviceState, SpoolState


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """What a backend server says of itself."""

    engine: str
    method: str
    methods: tuple[str, ...]
    basis_gates: tuple[str, ...]
    max_qubits: int | None
    max_shots: int
    memory_bytes: int | None
    """Memory for one circuit."""
    workers: int
    queued: int
    running: int
    queue_limit: int
    draining: bool
    calibration: Mapping[str, Any] | None = None
    """The device that is imitated or driven, as ``devices.noise.noise_from_dict`` reads it; None: any gate anywhere,
    without error, or it was not asked for."""
    calibration_digest: str = ""
    """Its digest; empty where there is none."""
    kept_results: int = 0
    """How many results it keeps that are larger than their jobs' status."""
    keeps_bytes: int | None = field(default=None, compare=False)
    """How many bytes of such results, compressed, it keeps for one namespace; None: not told."""
    unnamed: int = 0
    """Programs that ask for something and that the operator has not named to this server."""
    device: DeviceState | None = None
    """How the device elsewhere is that it stands for; None of a simulator."""
    spool: SpoolState | None = None
    """What it has on disk; None where its tasks are in memory only."""
    boot: str = ""
    """Another one with every start of the server."""
    task_seconds: float | None = field(default=None, compare=False)
    """Time that tasks ran since then, of all together, with those that run; None: not told. No news by itself."""
    peers: str = field(default="", compare=False)
    """Digest of the list of peers to which it measures its links; empty where it has none."""
    links: Mapping[str, Link] = field(default_factory=dict, compare=False)
    """What it measured of them, by their sites. It is another at each moment, and no news."""

    def to_dict(self) -> dict[str, Any]:
        """Return the form that travels."""
        device = None if self.device is None else self.device.to_dict()
        spool = None if self.spool is None else self.spool.to_dict()
        links = {site: link.to_dict() for site, link in self.links.items()}
        told = {name: getattr(self, name) for name in self.__slots__}
        return {**told, "device": device, "spool": spool, "links": links}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Return what ``to_dict`` gave; fields of a newer server are passed over.

        Raises:
            ValueError: it is something else: the message names the field.
        """
        fields = Fields.of("what a server says of itself", data)
        device, spool, calibration = (fields.data.get(name) for name in ("device", "spool", "calibration"))
        return cls(
            engine=fields.text("engine"),
            method=fields.text("method"),
            methods=fields.texts("methods"),
            basis_gates=fields.texts("basis_gates"),
            max_qubits=fields.count_or_none("max_qubits"),
            max_shots=fields.count("max_shots"),
            memory_bytes=fields.count_or_none("memory_bytes"),
            workers=fields.count("workers"),
            queued=fields.count("queued"),
            running=fields.count("running"),
            queue_limit=fields.count("queue_limit"),
            draining=fields.flag("draining"),
            calibration=None if calibration is None else Fields.of("calibration", calibration).data,
            calibration_digest=fields.text("calibration_digest", ""),
            kept_results=fields.count("kept_results", 0),
            keeps_bytes=fields.count_or_none("keeps_bytes"),
            unnamed=fields.count("unnamed", 0),
            device=None if device is None else DeviceState.from_dict(device),
            spool=None if spool is None else SpoolState.from_dict(spool),
            boot=fields.text("boot", ""),
            task_seconds=fields.amount_or_none("task_seconds"),
            peers=fields.text("peers", ""),
            links=_links(fields.data.get("links", {})),
        )


def _links(told: Any) -> dict[str, Link]:
    """Return links between sites."""
    given = Fields.of("links", told).data
    return {str(site): Link.from_dict(Fields.of(f"the link to {site}", link).data) for site, link in given.items()}
