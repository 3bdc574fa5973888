"""Who holds a lease, and when it is certain that it has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

from tabletd.lease.holder import Process, own_holder
from tabletd.processes.wrapper import start_ticks


def test_this_process_is_alive_and_named_so_that_people_find_it() -> None:
    own = own_holder("zone1-0000000100", "127.0.0.1:16100")
    assert not own.process.is_provably_dead()
    assert str(own).startswith(f"zone1-0000000100 (process {os.getpid()} on ")
    assert str(own).endswith(", gRPC 127.0.0.1:16100)")


def test_a_process_is_dead_once_it_has_ended_also_if_nobody_has_reaped_it() -> None:
    own = own_holder("zone1-0000000100", "").process
    command = [sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        process = replace(own, pid=child.pid, start_ticks=start_ticks(child.pid))
        assert not process.is_provably_dead()
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.is_provably_dead()
    assert process.is_provably_dead()


def test_the_number_of_an_ended_process_says_nothing_of_its_next_owner() -> None:
    own = own_holder("zone1-0000000100", "").process
    assert replace(own, start_ticks=own.start_ticks - 1).is_provably_dead()


def test_of_another_machine_boot_or_process_namespace_nothing_is_provable() -> None:
    gone = Process("", 0, 2**22 + 1, 1)
    own = own_holder("zone1-0000000100", "").process
    assert not replace(gone, boot_id=own.boot_id).is_provably_dead()
    assert not replace(gone, pid_namespace=own.pid_namespace).is_provably_dead()
    assert replace(gone, boot_id=own.boot_id, pid_namespace=own.pid_namespace).is_provably_dead()
