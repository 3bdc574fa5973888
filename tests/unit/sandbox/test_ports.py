"""Processes that start servers side by side do not try the same ports."""

from __future__ import annotations

import subprocess
import sys

from tabletd.sandbox.servers import free_ports


def test_ports_are_not_given_twice_before_all_others_were() -> None:
    ports = [port for _ in range(10) for port in free_ports(20)]
    assert len(set(ports)) == len(ports)


def test_another_process_has_ports_of_its_own() -> None:
    mine = free_ports(100)
    program = "from tabletd.sandbox.servers import free_ports; print(*free_ports(100))"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert not set(mine) & {int(port) for port in found.stdout.split()}
    (part,) = {(port - 15_000) // 500 for port in mine}
    assert part not in {(int(port) - 15_000) // 500 for port in found.stdout.split()}
