"""The gRPC form of the API.

Each call becomes one of the REST form, by Google's own client of it. So it meets the same limits and faults, and stands
in the same journal.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import requests
from cirq_google.cloud import quantum
from cirq_google.cloud.quantum_v1alpha1.services.quantum_engine_service import transports
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.protobuf import empty_pb2

from qonverge_dev_cloud.google import transcoding
from qonverge_dev_cloud.google.errors import CODES
from qonverge_dev_cloud.google.service import GoogleService

_SERVICE = "/google.cloud.quantum.v1alpha1.QuantumEngineService/"
_STREAM = "QuantumRunStream"
# By this machine's clock: a virtual one moves when others say so.
_LOOK_AGAIN = 0.01
_STREAM_CODES = {
    ("CreateQuantumProgram", "ALREADY_EXISTS"): "PROGRAM_ALREADY_EXISTS",
    ("CreateQuantumJob", "ALREADY_EXISTS"): "JOB_ALREADY_EXISTS",
    ("CreateQuantumJob", "NOT_FOUND"): "PROGRAM_DOES_NOT_EXIST",
    ("GetQuantumJob", "NOT_FOUND"): "JOB_DOES_NOT_EXIST",
}


class _Failed(Exception):
    """A call of the REST form failed, with this code of gRPC."""

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(message)
        self.operation, self.code, self.message = operation, code, message


class _Rest:
    """Google's client of the REST form, with the caller's token."""

    def __init__(self, url: str) -> None:
        self._transport = transports.QuantumEngineServiceRestTransport(
            host=url.removeprefix("http://"), url_scheme="http", credentials=AnonymousCredentials()
        )

    def call(self, operation: str, request: Any, token: str) -> Any:
        """Return the reply.

        Raises:
            _Failed: there is none.
        """
        snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
        try:
            reply = getattr(self._transport, snake)(request, metadata=[("authorization", token)] if token else [])
        except GoogleAPICallError as error:
            status = int(error.code or 500)
            raise _Failed(operation, _code(error) or CODES.get(status, "UNKNOWN"), error.message) from None
        except requests.RequestException:
            raise _Failed(operation, "UNAVAILABLE", "Socket closed") from None
        return empty_pb2.Empty() if reply is None else reply


class RpcHandler(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Finds what carries a call out."""

    def __init__(self, service: GoogleService, url: str) -> None:
        """``url``: of the REST form."""
        self._service, self._rest = service, _Rest(url)

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call; None where there is none."""
        name = handler_call_details.method
        if not name.startswith(_SERVICE):
            return None
        operation = name.removeprefix(_SERVICE)
        if operation == _STREAM:
            return grpc.stream_stream_rpc_method_handler(
                self._stream,
                request_deserializer=quantum.QuantumRunStreamRequest.deserialize,
                response_serializer=quantum.QuantumRunStreamResponse.serialize,
            )
        if not any(route.operation == operation for route in transcoding.routes()):
            return None

        def unary(request: Any, context: Any) -> Any:
            try:
                return self._rest.call(operation, request, _token(context))
            except _Failed as error:
                context.abort(grpc.StatusCode[error.code], error.message)

        return grpc.unary_unary_rpc_method_handler(
            unary,
            request_deserializer=transcoding.request_type(operation).deserialize,
            response_serializer=_serialized,
        )

    def _stream(self, asked: Iterator[Any], context: Any) -> Iterator[Any]:
        """Answer each request of a stream when its job has ended, in any order."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        token = _token(context)

        def follow(request: Any) -> None:
            try:
                answers.put(self._answer(request, token, context))
            except _Failed as error:
                answers.put(error)

        def read() -> None:
            threads = []
            try:
                for request in asked:
                    threads.append(threading.Thread(target=follow, args=(request,), daemon=True))
                    threads[-1].start()
            except grpc.RpcError:
                # The caller has gone.
                context.cancel()
            finally:
                for thread in threads:
                    thread.join()
                answers.put(None)

        threading.Thread(target=read, daemon=True).start()
        while (answer := answers.get()) is not None:
            if isinstance(answer, _Failed):
                context.abort(grpc.StatusCode[answer.code], answer.message)
            yield answer

    def _answer(self, request: Any, token: str, context: Any) -> Any:
        """Return the answer to a request of a stream."""
        told = quantum.QuantumRunStreamResponse(message_id=request.message_id)
        try:
            name = self._begun(request, token)
            while (job := self._service.ended(name)) is None:
                if not context.is_active():
                    raise _Failed(_STREAM, "CANCELLED", "the stream has ended")
                time.sleep(_LOOK_AGAIN)
            if job.execution_status.state == quantum.ExecutionStatus.State.SUCCESS:
                told.result = self._rest.call("GetQuantumResult", quantum.GetQuantumResultRequest(parent=name), token)
            else:
                told.job = job
        except _Failed as error:
            known = _STREAM_CODES.get((error.operation, error.code))
            if known is None:
                raise
            told.error = quantum.StreamError(code=getattr(quantum.StreamError.Code, known), message=error.message)
        return told

    def _begun(self, request: Any, token: str) -> str:
        """Make what a request of a stream is to make, and return the name of the job."""
        if "create_quantum_program_and_job" in request:
            both = request.create_quantum_program_and_job
            sent = quantum.CreateQuantumProgramRequest(parent=both.parent, quantum_program=both.quantum_program)
            program = self._rest.call("CreateQuantumProgram", sent, token)
            begin = quantum.CreateQuantumJobRequest(parent=program.name, quantum_job=both.quantum_job)
        elif "create_quantum_job" in request:
            begin = request.create_quantum_job
        else:
            name: str = request.get_quantum_result.parent
            self._rest.call("GetQuantumJob", quantum.GetQuantumJobRequest(name=name), token)
            return name
        made: str = self._rest.call("CreateQuantumJob", begin, token).name
        return made


def _serialized(message: Any) -> bytes:
    plain = message if isinstance(message, empty_pb2.Empty) else type(message).pb(message)
    return bytes(plain.SerializeToString())


def _token(context: Any) -> str:
    return next((str(value) for key, value in context.invocation_metadata() if key == "authorization"), "")


def _code(error: GoogleAPICallError) -> str:
    try:
        return str(error.response.json()["error"]["status"])
    except (AttributeError, ValueError, LookupError, TypeError):
        return ""
