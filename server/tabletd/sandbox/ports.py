"""Which ports a process may try: those of its own part of the range, in turn.

Between the look whether a port is free and its use by what is started then, another process could
take it; so could it while a server or daemon is away for a restart. Processes that start servers
side by side therefore share the range out among each other.
"""

from __future__ import annotations

import atexit
import itertools
import os
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# Below those of outgoing connections, any of which could take a port as well.
_PORTS: Final = range(15_000, 32_000)
_PART_PORTS: Final = 500
_PARTS: Final = [
    _PORTS[start : start + _PART_PORTS] for start in range(0, len(_PORTS), _PART_PORTS)
]


@dataclass(frozen=True)
class _Part:
    """A part of the range that this process has for its life.

    Attributes:
        owner: the pid; a child after a fork takes a part of its own.
        claim: a socket whose name nobody else can have at the same time.
        ports: those of the part, in turn, for ever.
    """

    owner: int
    claim: socket.socket
    ports: Iterator[int]


_part: _Part | None = None


def candidates() -> Iterator[int]:
    """Yield ports to try, as many as the range has.

    They come from this process's own part as long as there is one to have, else from anywhere.
    """
    global _part
    if _part is None or _part.owner != os.getpid():
        _part = _claim()
    if _part is None:
        return iter(random.sample(_PORTS, len(_PORTS)))
    return itertools.islice(_part.ports, len(_PORTS))


def _claim() -> _Part | None:
    for part in random.sample(_PARTS, len(_PARTS)):
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # In the abstract namespace: it belongs to the same network as the ports do, and goes
            # with the process however that ends.
            claim.bind(f"\0tabletd-ports-{part.start}")
        except OSError:
            claim.close()
            continue
        atexit.register(claim.close)
        return _Part(os.getpid(), claim, itertools.cycle(part))
    return None
