"""Hold every packet of a TUN device for a while: `python -I -S delay.py DEVICE MILLISECONDS`.

For kernels without netem. The delay is constant, so packets leave in the order in which they came, and the packets of a
burst are handed back as they came: spaced as before, only later.
"""

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

_SET_INTERFACE = 0x400454CA  # TUNSETIFF
_TUN_WITHOUT_HEADER = 0x1001  # IFF_TUN | IFF_NO_PI
_MOST_HELD = 200_000
_BATCH = 64


def attach(device: str) -> int:
    """A descriptor that reads what the kernel sends into the device, and sends what is written."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _SET_INTERFACE, struct.pack("16sH22x", device.encode(), _TUN_WITHOUT_HEADER))
    return descriptor


def hold(descriptor: int, seconds: float) -> None:
    """Pass packets on, each after its time, until the device goes away."""
    held: deque[tuple[float, bytes]] = deque()
    while True:
        wait = None if not held else max(0.0, held[0][0] - time.monotonic())
        readable, _, _ = select.select([descriptor], [], [], wait)
        if readable:
            _take(descriptor, held, seconds)
        now = time.monotonic()
        while held and held[0][0] <= now:
            _give_back(descriptor, held.popleft()[1])


def _take(descriptor: int, held: deque[tuple[float, bytes]], seconds: float) -> None:
    due = time.monotonic() + seconds
    for _ in range(_BATCH):
        try:
            packet = os.read(descriptor, 65536)
        except BlockingIOError:
            return
        if len(held) < _MOST_HELD:
            held.append((due, packet))


def _give_back(descriptor: int, packet: bytes) -> None:
    try:
        os.write(descriptor, packet)
    except BlockingIOError:
        return  # the kernel's queue is full: as on any line, the packet is lost


def main() -> None:
    """Run until killed."""
    hold(attach(sys.argv[1]), float(sys.argv[2]) / 1000)


if __name__ == "__main__":
    main()
