"""Results go through the stores in order, each of which keeps them or says why not."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from qonverge.api import HybridJob, HybridJobStatus
from qonverge.controller.pods.errors import PodLost
from qonverge.controller.results.stores import InStatus, ResultStores, ResultUnkept
from qonverge.execution.result_size import Room
from qonverge.execution.results import document
from qonverge.wire.errors import ResultTooLarge, WireError

METADATA = {"name": "j", "namespace": "chem", "uid": "u", "generation": 1}


def ended(outcomes: int) -> HybridJob:
    counts = {format(number, "030b"): 1 for number in range(outcomes)}
    status = {"state": "Complete", "message": "it ran"} | ({"result": {"counts": counts}} if outcomes else {})
    spec = {"program": {"circuit": {"openqasm": "x"}}}
    return HybridJob.model_validate({"metadata": METADATA, "spec": spec, "status": status})


def before(job: HybridJob) -> HybridJob:
    """Return the job as it is while its result is only in the status that is to be written."""
    return job.model_copy(update={"status": HybridJobStatus()})


@dataclass
class Elsewhere:
    """A store that keeps all, or refuses all."""

    refusal: WireError | None = None
    kept: list[tuple[bytes, str]] = field(default_factory=list)

    def room(self, job: HybridJob, backend: str) -> Room:
        return Room(None, "elsewhere there is always room")

    async def put(self, job: HybridJob, status: HybridJobStatus, document: bytes, why: str) -> HybridJobStatus:
        self.kept.append((document, why))
        if self.refusal is not None:
            raise self.refusal
        return status.model_copy(update={"result": None, "message": f"{status.message}; {why}: it is elsewhere"})


@pytest.mark.parametrize("outcomes", [0, 1, 3000])
async def test_what_the_status_has_room_for_goes_no_further(outcomes: int) -> None:
    job, elsewhere = ended(outcomes), Elsewhere()
    assert await ResultStores([InStatus(), elsewhere]).fitting(before(job), job.status) is job.status
    assert elsewhere.kept == []


async def test_what_is_in_the_job_already_stays_there() -> None:
    """A program may report its result, with as much as there is room for, before its job's next state is written."""
    job, elsewhere = ended(20_000), Elsewhere()
    status = job.status.model_copy(update={"state": "Running"})
    assert await ResultStores([InStatus(), elsewhere]).fitting(job, status) is status
    assert elsewhere.kept == []


async def test_a_larger_one_goes_to_the_first_store_that_keeps_it() -> None:
    job = ended(20_000)
    stores = [Elsewhere(PodLost("the pod is gone")), Elsewhere(), Elsewhere()]
    status = await ResultStores([InStatus(), *stores]).fitting(before(job), job.status)
    assert job.status.result is not None
    plain = document(job.status.result)
    too_large = f"the result takes {len(plain)} bytes and the job's status has room for 600000"
    assert [store.kept for store in stores] == [
        [(plain, too_large)],
        [(plain, f"{too_large}; the pod is gone")],
        [],
    ]
    assert status.message == f"it ran; {too_large}; the pod is gone: it is elsewhere"


@pytest.mark.parametrize(
    ("refusals", "kind"),
    [
        ([ResultTooLarge("full")], ResultTooLarge),
        ([PodLost("gone")], PodLost),
        ([PodLost("gone"), ResultTooLarge("full")], PodLost),
        ([ResultTooLarge("full"), PodLost("gone")], PodLost),
        ([], ResultTooLarge),
    ],
)
async def test_another_attempt_is_made_where_one_store_may_take_it_then(
    refusals: list[WireError], kind: type[WireError]
) -> None:
    job = ended(20_000)
    with pytest.raises(ResultUnkept) as caught:
        await ResultStores([InStatus(), *map(Elsewhere, refusals)]).fitting(before(job), job.status)
    assert type(caught.value.cause) is kind
    said = [refusal.message for refusal in refusals]
    assert caught.value.cause.message.endswith(
        "; ".join(["has room for 600000", *said]) + ": ask for fewer shots or measure fewer qubits"
    )
