"""What becomes of a job when an attempt at it fails: the policy that a person writes, and what a status keeps of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from qonverge.api.base import OneOfModel, Rule, SpecModel, StatusModel, cel

MOST_FAILED_ATTEMPTS = 10
"""Of which a status tells."""
_UNREACHABLE_SECONDS = 30
_LONGEST = 2**31 - 1
_SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}
_NO_FAILURE = "exit code 0 is no failure: leave it out of the values of operator In"
_TWICE = "each value once"

RetryAction = Literal["Fail", "Retry", "Ignore"]
Reason = Literal[
    # The program's own doing.
    "ProgramFailed",
    "OOMKilled",
    "DeadlineExceeded",
    "ResultTooLarge",
    "BudgetExceeded",
    "QuotaExceeded",
    # Its pod did not start, or was ended by others.
    "StartDeadlineExceeded",
    "ProgramNotFetched",
    "RequirementsNotInstalled",
    "Evicted",
    "Preempted",
    "NodeShutdown",
    "NodeLost",
    "PodLost",
    "ProgramLost",
    # The backend's, or on the way to it.
    "BackendLost",
    "AccessWithdrawn",
    "BackendUnreachable",
    "PodUnreachable",
    "WorkerLost",
    "EngineFailed",
    "Internal",
    "QueueFull",
    "Draining",
    "TooSlow",
    "UnknownCircuit",
    "GrantPending",
    "TokenExpired",
    "Cancelled",
]
"""Why an attempt ended, as ``status.failedAttempts`` has it, where another may follow."""


class OnExitCodes(SpecModel):
    """Exit codes of a program, as in ``batch/v1``'s podFailurePolicy."""

    model_config = ConfigDict(
        json_schema_extra=cel(Rule("self.operator == 'NotIn' || !(0 in self.values)", _NO_FAILURE, ".values"))
    )

    operator: Literal["In", "NotIn"]
    """In: the exit code is one of the values. NotIn: it is none of them."""
    values: Annotated[
        list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1, max_length=255, json_schema_extra=_SET)
    ]
    """Exit codes. A program that a signal ended has 128 and the signal's number."""

    @field_validator("values")
    @classmethod
    def _are_unlike(cls, values: list[int]) -> list[int]:
        if len(set(values)) != len(values):
            raise ValueError(_TWICE)
        return values

    @model_validator(mode="after")
    def _are_failures(self) -> OnExitCodes:
        if self.operator == "In" and 0 in self.values:
            raise ValueError(_NO_FAILURE)
        return self

    def matches(self, code: int) -> bool:
        """Return whether this is about an exit code."""
        return (code in self.values) == (self.operator == "In")


class RetryRule(OneOfModel):
    """What follows where an attempt ended in one of some ways."""

    one_of = ("onExitCodes", "onReasons")
    what = "a rule of retryPolicy.rules"

    action: RetryAction
    """Fail: the job fails, however many attempts are left. Retry: another attempt follows, and this one counts towards
    maxAttempts. Ignore: another follows, and this one counts towards maxInterruptions only."""
    on_exit_codes: OnExitCodes | None = None
    """Exit codes of the program, which are looked at where its reason is ProgramFailed or OOMKilled. Of what was
    evicted, or lost its backend or its budget, the reason says more than the exit code."""
    on_reasons: Annotated[list[Reason], Field(min_length=1, max_length=32, json_schema_extra=_SET)] | None = None
    """Reasons, as they stand in `status.failedAttempts`."""

    @field_validator("on_reasons")
    @classmethod
    def _are_unlike(cls, values: list[Reason] | None) -> list[Reason] | None:
        if values is not None and len(set(values)) != len(values):
            raise ValueError(_TWICE)
        return values


class RetryPolicy(SpecModel):
    """When another attempt follows one that failed, how many there may be, and how long each may take."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """The number of failed attempts with which the job fails. A program's own failure ends the job at once, unless a
    rule says Retry. What a backend or the cluster did to it does not count here, but of a circuit every attempt that
    is lost with its worker or pod, since the circuit may be why."""
    max_interruptions: Annotated[int, Field(ge=0, le=1000)] = 20
    """Attempts that may end without the program's doing, by an eviction, a drain or the loss of a backend, before the
    job fails. They do not count towards maxAttempts. Where a job of higher priority took the slot, it counts towards
    neither."""
    backoff_seconds: Annotated[int, Field(ge=0, le=_LONGEST)] = 10
    """Seconds from the end of an attempt that failed by the program's doing to the next one. They double with each one
    more, and begin anew after an attempt that ran for longer than maxBackoffSeconds. After other ends the next attempt
    begins at once, and later ones as above."""
    max_backoff_seconds: Annotated[int, Field(ge=0, le=_LONGEST)] = 300
    """Most seconds between two attempts."""
    attempt_deadline_seconds: Annotated[int, Field(ge=1, le=_LONGEST)] | None = None
    """Seconds that an attempt at a program may take from the start of its pod. One that takes longer is ended with the
    reason DeadlineExceeded. Default: no limit. Of circuits it does not apply."""
    rules: Annotated[list[RetryRule], Field(max_length=20)] = []
    """What follows where an attempt ended in a certain way. They are tried in order, and the first that matches holds.
    Where none does, a program's own failure ends the job, and an interruption is ignored."""
    unreachable_seconds: Annotated[int, Field(ge=0, le=_LONGEST)] | None = None
    """Seconds for which a pod that does not answer, as one of a site that is cut off, is waited for. After that another
    attempt begins elsewhere, and what the first still does is dropped. Of a circuit it is the backend's pod, and the
    default is 30; a device elsewhere, where tasks cost money, is waited for without end. Of a Python program it is its
    own pod, from when Kubernetes finds that its node is unreachable or not ready, and the default is the cluster's,
    mostly 300. Without a cluster it does not apply."""

    @property
    def tolerated_seconds(self) -> float:
        """How long a circuit waits for a pod that does not answer, seconds."""
        return _UNREACHABLE_SECONDS if self.unreachable_seconds is None else self.unreachable_seconds


class FailedAttempt(StatusModel):
    """How an attempt ended that did not end well: what is left of it when its pod has gone."""

    attempt: int
    """Which one, from 1."""
    reason: str
    """Why it ended, in one word, which `retryPolicy.rules` may name."""
    message: str
    """The same in a sentence, with what to do."""
    counts: bool
    """Whether it counts towards retryPolicy.maxAttempts; if not, towards maxInterruptions, unless a job of higher
    priority took its slot."""
    exit_code: int | None = None
    """The program's exit code, where it had one."""
    started_at: str | None = None
    """When it began to run (RFC 3339); absent where it did not."""
    ended_at: str
    """When it ended, or when that was seen (RFC 3339)."""
    backend: str | None = None
    """Backend on which it ran."""
    pod: str | None = None
    """Its pod."""
    node: str | None = None
    """The node on which its pod was."""
    log: str | None = None
    """Last lines that it printed: up to 8 KiB of the last attempt that failed, 1 KiB of each before it. Of an attempt
    with which the job failed they are in `status.log`."""
