"""The way between the host and a site, in user space: packets arrive later, at a rate, in part or not at all.

Run as a program this makes the site: network and mount namespaces of its own, and a TUN device in each of the two
networks, between which it carries packets. All of it is gone with the last process of the site. It needs nothing but
Python's standard library, since it runs for as long as a cluster does.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
_PACKET = 65_536
#: What waits in a direction beyond this is dropped, as by any router.
_MOST_WAITING = 20_000
#: How soon changed conditions hold.
_LOOK_SECONDS = 0.05
#: Places outside a node's own folder that the kubelet, containerd and the CNI library use, whatever they are told.
_FIXED_PLACES = ("/var/lib/kubelet", "/var/lib/cni", "/var/log/pods", "/var/log/containers", "/run/containerd")


@dataclass(frozen=True)
class Conditions:
    """How a link is, the same in both directions."""

    #: Seconds that a packet takes one way.
    delay: float = 0.0
    #: Part of the packets that is lost, from 0 to 1.
    loss: float = 0.0
    #: Bytes in a second; None: no limit.
    rate: float | None = None
    #: Whether nothing passes, nor what is on its way.
    cut: bool = False

    def write(self, home: Path) -> None:
        """Let them hold for the site with this folder."""
        temporary = conditions_file(home).with_suffix(".new")
        temporary.write_text(json.dumps(asdict(self)))
        temporary.rename(conditions_file(home))

    @classmethod
    def read(cls, home: Path) -> Conditions:
        """Return those that hold for the site with this folder."""
        return cls(**json.loads(conditions_file(home).read_text()))


def conditions_file(home: Path) -> Path:
    """Return where the conditions of a site's link are, by the site's folder."""
    return home / "link.json"


def ready_file(home: Path) -> Path:
    """Return the file that has the id of the process that carries packets, once it does."""
    return home / "link.ready"


class Direction:
    """Packets on their way, in the order in which they were sent."""

    def __init__(self, random_: random.Random | None = None) -> None:
        self._random = random_ or random.Random()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._free_at = 0.0

    def send(self, packet: bytes, conditions: Conditions, now: float) -> None:
        """Take a packet, unless it is lost."""
        if conditions.cut or len(self._waiting) >= _MOST_WAITING or self._random.random() < conditions.loss:
            return
        takes = 0.0 if conditions.rate is None else len(packet) / conditions.rate
        self._free_at = max(now, self._free_at) + takes
        due = self._free_at + conditions.delay
        if self._waiting:
            # None overtakes another where the delay has become less.
            due = max(due, self._waiting[-1][0])
        self._waiting.append((due, packet))

    def arrived(self, conditions: Conditions, now: float) -> list[bytes]:
        """Return the packets that are there by now."""
        if conditions.cut:
            self._waiting.clear()
        found = []
        while self._waiting and self._waiting[0][0] <= now:
            found.append(self._waiting.popleft()[1])
        return found

    @property
    def next_at(self) -> float | None:
        """When the next packet is there; None where none is on its way."""
        return self._waiting[0][0] if self._waiting else None


def carry(outside: int, inside: int, home: Path) -> None:
    """Carry packets between two TUN devices for ever."""
    ways = {outside: (inside, Direction()), inside: (outside, Direction())}
    conditions, read_at, stamp = Conditions(), 0.0, 0
    while True:
        now = time.monotonic()
        if now >= read_at:
            read_at, found = now + _LOOK_SECONDS, conditions_file(home).stat().st_mtime_ns
            if found != stamp:
                stamp, conditions = found, Conditions.read(home)
        times = [read_at, *(way.next_at for _, way in ways.values() if way.next_at is not None)]
        readable, _, _ = select.select(list(ways), [], [], max(0.0, min(times) - now))
        now = time.monotonic()
        for device in readable:
            ways[device][1].send(os.read(device, _PACKET), conditions, now)
        for target, way in ways.values():
            for packet in way.arrived(conditions, now):
                try:
                    os.write(target, packet)
                except OSError as error:
                    print(f"a packet of {len(packet)} bytes was dropped: {error}", file=sys.stderr, flush=True)


def open_device(name: str) -> int:
    """Make a TUN device in the present network and return its descriptor; it is gone when that is closed."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH14x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def main() -> None:
    """Make the site and its link."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path, help="the site's folder")
    parser.add_argument("--device", required=True, help="name of the TUN device on the host")
    parser.add_argument("--host", required=True, help="the host's address")
    parser.add_argument("--site", required=True, help="the site's address")
    parser.add_argument("--pods", required=True, help="addresses of the site's pods")
    given = parser.parse_args()
    outside = open_device(given.device)
    _ip("link", "set", given.device, "up")
    for network in (f"{given.site}/32", given.pods):
        _ip("route", "add", network, "dev", given.device, "src", given.host)
    _unshare(given.home.parents[1])
    inside = open_device("eth0")
    _ip("link", "set", "lo", "up")
    _ip("address", "add", f"{given.site}/32", "dev", "eth0")
    _ip("link", "set", "eth0", "up")
    _ip("route", "add", "default", "dev", "eth0", "src", given.site)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    ready_file(given.home).write_text(str(os.getpid()))
    carry(outside, inside, given.home)


def _unshare(cluster: Path) -> None:
    """Enter networks and mounts of one's own, with empty folders in the places that nodes would share.

    What other nodes have mounted in the cluster's folder is left behind: it would stay mounted here when it goes there.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET | _CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    # Later mounts may hide earlier ones.
    for point in reversed([point for point in points if Path(point).is_relative_to(cluster)]):
        subprocess.run(["umount", "--lazy", point], check=True)
    for place in filter(os.path.isdir, _FIXED_PLACES):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], check=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


if __name__ == "__main__":
    main()
