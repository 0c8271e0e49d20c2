"""First fitting backend with the shortest queue."""

from __future__ import annotations

from dataclasses import replace

from qonverge.scheduling.model import Backend, Decision, Job, Needs, Snapshot

# Methods whose memory grows with the full state; the others are bounded by the backend itself.
_FULL_STATE = {"Statevector": 1, "Automatic": 1, "DensityMatrix": 2}


def place(snapshot: Snapshot) -> tuple[Decision, ...]:
    """Decide for every waiting job, oldest first; a job placed counts towards the load that the next one sees.

    Ties go to the backend whose key sorts first, so the same snapshot gives the same plan.
    """
    load = {backend.key: backend.load for backend in snapshot.backends}
    room = {backend.key: backend.room for backend in snapshot.backends}
    decisions = []
    for job in sorted(snapshot.jobs, key=lambda job: (job.created, job.key)):
        current = tuple(replace(b, load=load[b.key], room=room[b.key]) for b in snapshot.backends)
        decision = _place_one(job, current)
        if decision.backend is not None:
            key = decision.backend.key
            load[key] += 1
            left = room[key]
            room[key] = None if left is None else left - 1
        decisions.append(decision)
    return tuple(decisions)


def _place_one(job: Job, backends: tuple[Backend, ...]) -> Decision:
    named = [b for b in backends if _is_meant(job, b)]
    if job.backend_name is not None:
        # An unqualified name means the job's own namespace first.
        own = [b for b in named if b.namespace == job.namespace]
        named = own or named
    if not named:
        return Decision(job.key, None, _none_exists(job, backends))
    fitting: list[Backend] = []
    rejected: dict[str, str] = {}
    hopeless = 0
    for backend in named:
        if never := _never(job, backend):
            rejected[backend.label_for(job.namespace)] = never
            hopeless += 1
        elif later := _not_now(backend):
            rejected[backend.label_for(job.namespace)] = later
        else:
            fitting.append(backend)
    if not fitting:
        reasons = "; ".join(rejected.values())
        count = f"{len(named)} of {len(named)} backends rejected: " if len(named) > 1 else ""
        return Decision(job.key, None, count + reasons, impossible=hopeless == len(named), rejected=rejected)
    best = min(fitting, key=lambda b: (b.load, b.key))
    return Decision(job.key, best, _why(job, best, len(fitting), rejected), rejected=rejected)


def _is_meant(job: Job, backend: Backend) -> bool:
    if job.backend_name is not None:
        return backend.name == job.backend_name and job.backend_namespace in (None, backend.namespace)
    if job.backend_selector is not None:
        return job.backend_selector.matches(dict(backend.labels))
    # Without a choice of its own a job sees only what its namespace may use.
    return backend.admits_all_namespaces or backend.namespace == job.namespace


def _none_exists(job: Job, backends: tuple[Backend, ...]) -> str:
    reachable = [
        b.label_for(job.namespace) for b in backends if b.admits_all_namespaces or b.namespace == job.namespace
    ]
    there = f"there are {', '.join(sorted(reachable))}" if reachable else "there is none that this namespace may use"
    if job.backend_name is not None:
        where = f" in namespace {job.backend_namespace}" if job.backend_namespace else ""
        return f"waiting for a QuantumBackend named {job.backend_name}{where}; {there}"
    if job.backend_selector is not None:
        return f"waiting for a QuantumBackend with labels {job.backend_selector}; {there}"
    return "waiting for a QuantumBackend: there is none that this namespace may use"


def _never(job: Job, backend: Backend) -> str | None:
    name = backend.label_for(job.namespace)
    if not (backend.admits_all_namespaces or backend.namespace == job.namespace):
        return f"{name} does not admit jobs from namespace {job.namespace} (spec.access.namespaces.from is Same)"
    return None if job.needs is None else _too_small(name, job.needs, backend)


def _too_small(name: str, needs: Needs, backend: Backend) -> str | None:
    if backend.max_qubits is not None and needs.num_qubits > backend.max_qubits:
        return f"{name} takes {backend.max_qubits} qubits and the circuit has {needs.num_qubits}"
    if backend.max_shots is not None and needs.shots > backend.max_shots:
        return f"{name} takes {backend.max_shots} shots and the job asks for {needs.shots}"
    power = _FULL_STATE.get(backend.method)
    if power is None or backend.memory_bytes is None:
        return None
    if backend.method == "Automatic":
        # The engine runs a Clifford circuit as a stabilizer state, and one that entangles little as a product of
        # matrices, which need no full state.
        compact = 0 if needs.clifford else needs.compact_bytes
        if compact is not None and compact <= backend.memory_bytes:
            return None
    needed = 16 * (needs.statevector_bytes // 16) ** power
    if needed > backend.memory_bytes:
        kind = "density matrix" if power == 2 else "statevector"
        return (
            f"{name} has {format_bytes(backend.memory_bytes)} for a circuit and a {kind} of {needs.num_qubits} qubits "
            f"needs {format_bytes(needed)}"
        )
    return None


def _not_now(backend: Backend) -> str | None:
    if not backend.serving:
        return f"{backend.name} is not ready: {backend.not_serving_reason or 'no pod serves'}"
    if backend.room is not None and backend.room <= 0:
        return f"{backend.name}'s queue is full"
    return None


def _why(job: Job, best: Backend, fitting: int, rejected: dict[str, str]) -> str:
    name = best.label_for(job.namespace)
    if fitting == 1 and not rejected:
        why = f"{name} is the only candidate"
    elif fitting == 1:
        why = f"{name} is the only one of {1 + len(rejected)} candidates that fits"
    else:
        why = f"{name} has the shortest queue of {fitting} that fit"
    why += f" ({best.load:.3g} tasks per worker ahead)" if best.load else ""
    return why + (f"; rejected: {'; '.join(rejected.values())}" if rejected else "")


def format_bytes(size: int) -> str:
    """Return the size in the largest binary unit that keeps it at 1 or more, such as ``2 GiB``."""
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    index = max(0, min(len(units) - 1, (size.bit_length() - 1) // 10))
    scaled = size / (1 << (10 * index)) if size.bit_length() < 1000 else float("inf")
    if scaled >= 1e6:
        return f"2^{size.bit_length() - 1} B"
    return f"{scaled:.3g} {units[index]}" if scaled < 1000 else f"{scaled:.0f} {units[index]}"
