"""How MPI's ranks find each other without ``mpiexec``: the table, and what passes lines on to it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from e2e.cluster.processes import free_ports
from qonverge.client.program.rendezvous import Table, address_of, begin, relay, serve


class Rank:
    """One end of a connection, as ``PMI_Init`` and its like use it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._lines = self._socket.makefile("r")

    def ask(self, line: str, answers: int = 1) -> list[str]:
        self.say(line)
        return [self._lines.readline().strip() for _ in range(answers)]

    def say(self, line: str) -> None:
        self._socket.sendall(f"{line}\n".encode())

    def hear(self) -> str:
        return self._lines.readline().strip()

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@contextmanager
def ranks(size: int) -> Iterator[list[Rank]]:
    """Yield connections of so many ranks; all but the first go through a relay."""
    with ExitStack() as stack:
        table = stack.enter_context(serve(Table(size), "127.0.0.1", 0))
        stack.callback(table.shutdown)
        ports = [table.server_address[1]]
        for _ in range(1, size):
            server = stack.enter_context(relay("127.0.0.1", ports[0]))
            stack.callback(server.shutdown)
            ports.append(server.server_address[1])
        connected = [Rank(port) for port in ports]
        for each in connected:
            stack.callback(each.close)
        yield connected


def test_ranks_learn_who_they_are() -> None:
    with ranks(2) as (zero, one):
        for number, each in enumerate((zero, one)):
            told = each.ask(f"cmd=initack pmiid={number}", 4)
            assert told == ["cmd=initack", "cmd=set size=2", f"cmd=set rank={number}", "cmd=set debug=0"]
            assert each.ask("cmd=init pmi_version=1 pmi_subversion=1") == [
                "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0"
            ]
        assert zero.ask("cmd=get_my_kvsname") == one.ask("cmd=get_my_kvsname")


def test_two_programs_have_tables_of_different_names() -> None:
    assert Table(1).answer("cmd=get_my_kvsname") != Table(1).answer("cmd=get_my_kvsname")


def test_what_one_rank_says_the_others_read() -> None:
    """Values have signs of their own in them."""
    with ranks(3) as (zero, one, two):
        assert one.ask("cmd=put kvsname=k key=card-1 value=segments=3[2]") == ["cmd=put_result rc=0 msg=success"]
        for each in (zero, two):
            assert each.ask("cmd=get kvsname=k key=card-1") == ["cmd=get_result rc=0 msg=success value=segments=3[2]"]
        assert zero.ask("cmd=get kvsname=k key=card-2") == ["cmd=get_result rc=-1 msg=key_not_found value=unknown"]


def test_a_barrier_opens_when_all_are_there_and_again() -> None:
    with ranks(3) as all_ranks:
        for turn in range(1, 3):
            answers: list[str] = []

            def hear(each: Rank, answers: list[str] = answers) -> None:
                answers.append(each.hear())

            heard = [threading.Thread(target=hear, args=(each,)) for each in all_ranks]
            for thread in heard:
                thread.start()
            for each in all_ranks[:2]:
                each.say("cmd=barrier_in")
            # Answers come in the order of questions, but not those of a barrier that is not complete.
            assert answers == []
            all_ranks[2].say("cmd=barrier_in")
            for thread in heard:
                thread.join(60)
            assert answers == ["cmd=barrier_out"] * 3, turn


def test_a_rank_may_end_after_rank_0_has() -> None:
    with ranks(2) as (zero, one):
        assert one.ask("cmd=get_appnum") == ["cmd=appnum appnum=0"]
        assert zero.ask("cmd=finalize") == ["cmd=finalize_ack"]
        zero.close()
        assert one.ask("cmd=finalize") == ["cmd=finalize_ack"]


def test_a_rank_waits_for_a_table_that_is_not_there_yet() -> None:
    (port,) = free_ports(1)
    with relay("127.0.0.1", port) as own:
        rank = Rank(own.server_address[1])
        rank.say("cmd=get_universe_size")
        with serve(Table(5), "127.0.0.1", port) as table:
            assert rank.hear() == "cmd=universe_size size=5"
            rank.close()
            table.shutdown()
        own.shutdown()


def test_all_addresses_of_a_pod_are_served() -> None:
    """Those of IPv4 too where the socket is one for IPv6, which not every machine that runs this has an address of."""
    with serve(Table(2), "", 0) as table:
        assert (table.address_family == socket.AF_INET6) == socket.has_dualstack_ipv6()
        rank = Rank(table.server_address[1])
        assert rank.ask("cmd=get_universe_size") == ["cmd=universe_size size=2"]
        rank.close()
        table.shutdown()


@pytest.mark.parametrize("line", ["cmd=spawn nprocs=1", "nonsense", "cmd=publish_name service=a port=b"])
def test_what_needs_a_process_manager_is_refused(line: str) -> None:
    (answer,) = Table(1).answer(line)
    assert answer.endswith("_result rc=-1 msg=not_supported")


def test_a_program_that_is_alone_starts_nothing() -> None:
    environment = {"QONVERGE_JOB": "lab/vqe"}
    begin(environment)
    assert environment == {"QONVERGE_JOB": "lab/vqe"}


def test_addresses() -> None:
    assert address_of("vqe-0.vqe.lab.svc:29400") == ("vqe-0.vqe.lab.svc", 29400)
