"""The vendor's service: ``python -m tests.clouds.vendor``. It writes its port, and ends with its standard input.

It computes with a few lines of its own, keeps a journal of what it received and what had an effect, and fails as it is
told, before or after the effect.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import socket
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np


def probabilities(program: list[Any]) -> tuple[list[int], np.ndarray[Any, Any]]:
    """Return the measured qubits, the highest first, and the probability of each outcome, the first qubit highest."""
    width = 1 + max(qubit for _, _, qubits in program for qubit in qubits)
    state = np.zeros((2,) * width, dtype=complex)
    state[(0,) * width] = 1
    measured = []
    for name, values, qubits in program:
        if name == "measure":
            measured.append(qubits[0])
        elif name == "u":
            half, phi, lam = values[0] / 2, values[1], values[2]
            gate = np.array(
                [
                    [math.cos(half), -np.exp(1j * lam) * math.sin(half)],
                    [np.exp(1j * phi) * math.sin(half), np.exp(1j * (phi + lam)) * math.cos(half)],
                ]
            )
            state = np.moveaxis(np.tensordot(gate, state, (1, qubits[0])), 0, qubits[0])
        elif name == "cx":
            state = state.copy()
            ones = tuple(1 if axis == qubits[0] else slice(None) for axis in range(width))
            state[ones] = np.flip(state[ones], qubits[1] - (qubits[1] > qubits[0]))
        else:
            raise ValueError(f"the device has no {name}")
    order = sorted(measured, reverse=True)
    chances = np.sum(np.abs(state) ** 2, axis=tuple(q for q in range(width) if q not in measured), keepdims=False)
    left = sorted(measured)
    return order, np.transpose(chances, [left.index(q) for q in order]).ravel()


class Vendor:
    """What the service has."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tasks: dict[str, dict[str, Any]] = {}
        self.journal: list[dict[str, Any]] = []
        self.faults: list[dict[str, Any]] = []
        self.held: list[str] = []
        self.released = threading.Event()
        self.device: dict[str, Any] = {"online": True}
        self.settings: dict[str, Any] = {"seconds": 0.0, "lag": 0.0, "token": "", "counts": False, "billed": None}
        self.random: random.Random | None = None
        self.rate = 0.0
        self.begun = 0

    def reset(self) -> None:
        """Be as at the start, with new ids to come."""
        begun = getattr(self, "begun", 0)
        self.__init__()  # type: ignore[misc]
        self.begun = begun

    def fault(self, call: str) -> str:
        """Return what goes wrong with this call."""
        with self.lock:
            for each in self.faults:
                if each["call"] == call and each["times"] > 0 and not each.get("skip", 0):
                    each["times"] -= 1
                    return str(each["kind"])
                if each["call"] == call and each.get("skip", 0):
                    each["skip"] -= 1
            if self.random is not None and call != "control" and self.random.random() < self.rate:
                return self.random.choice(("drop-before", "drop-after", "error-after", "busy", "unavailable"))
        return ""

    def submit(self, body: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            for task in self.tasks.values():
                if body["keyed"] and task["key"] == body["key"]:
                    return {"id": task["id"]}
            identity = f"task-{self.begun}"
            self.begun += 1
            qubits, chances = probabilities(json.loads(body["program"]))
            drawn = np.random.default_rng(len(self.tasks)).choice(
                len(chances), body["shots"], p=chances / chances.sum()
            )
            texts = [format(value, f"0{len(qubits)}b") for value in drawn.tolist()]
            answer = {"qubits": qubits, **({"counts": Counter(texts)} if self.settings["counts"] else {"shots": texts})}
            failing = next((each for each in self.faults if each["call"] == "run" and each["times"] > 0), None)
            if failing is not None:
                failing["times"] -= 1
            self.tasks[identity] = {
                "id": identity,
                "key": body["key"],
                "shots": body["shots"],
                "tags": body["tags"],
                "at": time.monotonic(),
                "failed": None if failing is None else failing["kind"],
                "cancelled": False,
                "over": False,
                "answer": answer,
            }
            return {"id": identity}

    def state(self, task: dict[str, Any]) -> dict[str, Any]:
        if task["cancelled"]:
            return {"state": "Cancelled"}
        if not task["over"] and time.monotonic() - task["at"] < self.settings["seconds"]:
            return {"state": "Queued", "queue_position": 1}
        task["over"] = True
        if task["failed"]:
            return {"state": "Failed", "message": "the fridge is warm", "retryable": task["failed"] == "retryable"}
        return {"state": "Completed", "billed": self.settings["billed"], "run_seconds": 0.5}

    def answer(self, call: str, path: str, body: Any) -> Any:
        if call == "submit":
            return self.submit(body)
        if call == "find":
            seen = time.monotonic() - self.settings["lag"]
            with self.lock:
                found = [task for task in self.tasks.values() if task["key"] in body["keys"] and task["at"] <= seen]
            return {task["key"]: task["id"] for task in found}
        if call == "of_run":
            with self.lock:
                run = [task for task in self.tasks.values() if task["tags"].get("qonverge.io/run") == body["run"]]
            return {"ids": [task["id"] for task in run if self.state(task)["state"] in ("Queued", "Running")]}
        if call == "tasks":
            return {identity: self.state(self.tasks[identity]) for identity in body["ids"] if identity in self.tasks}
        if call == "result":
            return self.tasks[path.split("/")[2]]["answer"]
        if call == "cancel":
            task = self.tasks[path.split("/")[2]]
            task["cancelled"] = self.state(task)["state"] in ("Queued", "Running", "Cancelled")
            return {}
        return self.device

    def control(self, body: dict[str, Any]) -> Any:
        if body.get("reset"):
            self.released.set()
            self.reset()
        with self.lock:
            if body.get("mend"):
                self.faults.clear()
            if "random" in body:
                self.random, self.rate = random.Random(body["random"]), body["rate"]
                if not self.rate:
                    self.random = None
            self.faults.extend(body.get("faults", ()))
            self.device.update(body.get("device", {}))
            self.settings.update(body.get("settings", {}))
            if body.get("release"):
                self.released.set()
                self.released, self.held = threading.Event(), []
            tasks = [
                {**{k: v for k, v in task.items() if k != "answer"}, **self.state(task)} for task in self.tasks.values()
            ]
            return {"journal": self.journal, "tasks": tasks, "held": self.held}


_CALLS = {"device": "device", "find": "find", "run": "of_run", "status": "tasks", "control": "control"}


def _call(path: str) -> str:
    parts = path.strip("/").split("/")
    return parts[2] if len(parts) == 3 else "submit" if parts[0] == "tasks" else _CALLS[parts[0]]


def handler(vendor: Vendor) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            call = _call(self.path)
            if call == "control":
                self._reply(200, vendor.control(body))
                return
            fault = vendor.fault(call)
            size = len(body.get("ids", body.get("keys", ())))
            entry = {"call": call, "at": time.monotonic(), "until": 0.0, "fault": fault, "size": size}
            vendor.journal.append(entry)
            if fault == "hold-before":
                vendor.held.append(call)
                vendor.released.wait()
                self._drop()
            elif vendor.settings["token"] and self.headers.get("authorization") != vendor.settings["token"]:
                self._reply(403, "the token is not valid")
            elif fault == "drop-before":
                self._drop()
            elif fault in _STATUS:
                self._reply(*_STATUS[fault])
            else:
                try:
                    told = vendor.answer(call, self.path, body)
                except (KeyError, ValueError) as error:
                    self._reply(400, f"refused: {error}")
                    return
                if fault == "hold-after":
                    vendor.held.append(call)
                    vendor.released.wait()
                if fault == "drop-after":
                    self._drop()
                elif fault == "error-after":
                    self._reply(500, "internal error")
                else:
                    entry["until"] = time.monotonic()
                    self._reply(200, told)

        def _drop(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _reply(self, status: int, told: Any) -> None:
            data = told.encode() if isinstance(told, str) else json.dumps(told).encode()
            # Who asked may have been killed.
            with contextlib.suppress(ConnectionError):
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

    return Handler


_STATUS = {
    "busy": (429, "too many requests"),
    "unavailable": (503, "the device is offline"),
    "credentials": (403, "the token is not valid"),
    "refused": (400, "the device has no such gate"),
}


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(Vendor()))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
