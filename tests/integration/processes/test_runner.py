"""Tools as processes: real children, real signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.processes import wrapper
from tabletd.processes.identity import ProcessIdentity
from tabletd.processes.runner import LaunchSpec, Run, attach, launch
from tests.support.waiting import eventually


def spec(directory: Path, *shell: str, argv: tuple[str, ...] = ()) -> LaunchSpec:
    return LaunchSpec(
        directory=directory,
        argv=argv or ("/bin/sh", "-c", *shell),
        nonce="n1",
        log_file=directory / "tool.log",
        home=directory,
    )


async def test_the_exit_code_and_the_output_are_left_in_the_directory(tmp_path: Path) -> None:
    run = await launch(spec(tmp_path, "echo out; echo err >&2; exit 7"))

    assert await run.wait() == 7
    assert json.loads((tmp_path / "exit.json").read_text())["exit_code"] == 7
    assert (tmp_path / "tool.log").read_text().splitlines() == ["out", "err"]
    assert not run.is_alive()


async def test_a_second_tool_appends_to_the_log_and_knows_where_its_own_part_begins(
    tmp_path: Path,
) -> None:
    (tmp_path / "tool.log").write_text("of the dry run\n")

    run = await launch(spec(tmp_path, "echo real"))
    await run.wait()

    assert run.log_offset == len("of the dry run\n")
    assert (tmp_path / "tool.log").read_text() == "of the dry run\nreal\n"


async def test_the_tool_sees_only_the_minimal_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TABLETD_MYSQL_PASSWORD", "of the daemon")

    await (await launch(spec(tmp_path, argv=("/usr/bin/env",)))).wait()

    names = {line.split("=")[0] for line in (tmp_path / "tool.log").read_text().splitlines()}
    assert names == {"PATH", "HOME", "LANG", "TZ"}


async def test_who_runs_is_written_before_the_tool_is_executed(tmp_path: Path) -> None:
    run = await launch(spec(tmp_path, f"cat {tmp_path}/process.json"))
    await run.wait()

    seen = json.loads((tmp_path / "tool.log").read_text())
    assert seen["tool"] == {"pid": run.tool.pid, "start_ticks": run.tool.start_ticks}
    assert seen["nonce"] == "n1"
    assert seen["boot_id"] == wrapper.boot_id()


async def test_terminate_ends_a_tool_that_ignores_sigterm_and_what_it_started(
    tmp_path: Path,
) -> None:
    run = await launch(spec(tmp_path, "trap '' TERM; sleep 600 & echo $! > child; wait; wait"))
    await eventually(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())

    assert await run.terminate(grace_seconds=0.2) == -signal.SIGKILL
    child = int((tmp_path / "child").read_text())
    await eventually(lambda: not psutil.pid_exists(child) or zombie(child))
    assert not run.is_alive()


async def test_what_a_tool_left_running_is_ended_with_it(tmp_path: Path) -> None:
    run = await launch(spec(tmp_path, "sleep 600 & echo $! > child; exit 0"))

    assert await run.wait() == 0
    child = int((tmp_path / "child").read_text())
    await eventually(lambda: not psutil.pid_exists(child) or zombie(child))


async def test_a_later_daemon_finds_the_tool_and_ends_it(tmp_path: Path) -> None:
    started = await launch(spec(tmp_path, "sleep 600"))

    found = await attach(tmp_path)
    assert found is not None
    assert found.tool == started.tool
    assert found.is_alive()
    assert await found.terminate(grace_seconds=5) == -signal.SIGTERM
    assert await started.wait() == -signal.SIGTERM


async def test_the_tool_of_another_run_is_neither_taken_over_nor_ended(tmp_path: Path) -> None:
    started = await launch(spec(tmp_path, "sleep 600"))
    assert await attach(tmp_path, "n1") is not None
    with pytest.raises(TabletdError) as refused:
        await attach(tmp_path, "n2")
    assert refused.value.reason is Reason.TOOL_FAILED
    assert started.is_alive()
    await started.terminate(grace_seconds=5)


async def test_wait_of_a_found_tool_ends_with_the_tool(tmp_path: Path) -> None:
    started = await launch(spec(tmp_path, "sleep 0.2; exit 3"))
    found = await attach(tmp_path)
    assert found is not None
    async with asyncio.timeout(60):
        assert set(await asyncio.gather(found.wait(), started.wait())) == {3}


async def test_a_process_that_has_got_the_same_number_is_left_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        real = ProcessIdentity(other.pid, wrapper.start_ticks(other.pid), wrapper.boot_id())
        for stale in (
            ProcessIdentity(real.pid, real.start_ticks - 1, real.boot_id),
            ProcessIdentity(real.pid, real.start_ticks, "of an earlier boot"),
        ):
            run = Run(
                tmp_path,
                nonce="n1",
                tool=stale,
                keeper=stale,
                log_file=tmp_path / "tool.log",
                log_offset=0,
            )
            assert not run.is_alive()
            assert await run.terminate(grace_seconds=1) is None
            assert real.is_alive()
    finally:
        other.kill()
        other.wait()


async def test_a_tool_goes_on_when_its_wrapper_is_killed_and_its_end_is_then_unknown(
    tmp_path: Path,
) -> None:
    run = await launch(spec(tmp_path, "exec sleep 600"))
    os.kill(json.loads((tmp_path / "process.json").read_text())["wrapper"]["pid"], signal.SIGKILL)

    waiting = asyncio.ensure_future(run.wait())
    assert run.is_alive()
    os.kill(run.tool.pid, signal.SIGKILL)
    assert await waiting is None


async def test_the_wrapper_outlives_the_signals_that_end_a_service(tmp_path: Path) -> None:
    run = await launch(spec(tmp_path, "sleep 0.3; exit 5"))
    keeper = json.loads((tmp_path / "process.json").read_text())["wrapper"]["pid"]
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(keeper, number)

    assert await run.wait() == 5


async def test_a_directory_in_which_nothing_was_started_can_start_nothing_later(
    tmp_path: Path,
) -> None:
    assert await attach(tmp_path) is None
    with pytest.raises(TabletdError) as refused:
        await launch(spec(tmp_path, "echo too late"))

    assert refused.value.reason is Reason.TOOL_FAILED
    assert "taken or sealed" in refused.value.message
    assert not (tmp_path / "tool.log").exists()
    assert await attach(tmp_path / "gone") is None


async def test_a_wrapper_that_is_killed_before_it_starts_the_tool_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "killed.py"
    killed.write_text("import os\nos.kill(os.getpid(), 9)\n")
    monkeypatch.setattr(wrapper, "__file__", str(killed))
    with pytest.raises(TabletdError, match="its wrapper was ended before it could") as failed:
        await launch(spec(tmp_path, "echo never"))

    assert failed.value.reason is Reason.TOOL_FAILED
    assert not (tmp_path / "tool.log").exists()


async def test_an_end_that_a_full_disk_does_not_take_is_written_when_there_is_room(
    tmp_path: Path,
) -> None:
    scratch = tmp_path / "exit.json.tmp"
    scratch.symlink_to("/dev/full")
    run = await launch(spec(tmp_path, "exit 7"))
    await eventually(lambda: not run.is_alive())
    assert run.exit_status() is None
    scratch.unlink()
    async with asyncio.timeout(60):
        assert await run.wait() == 7


async def test_a_wrapper_whose_directory_is_gone_waits_for_no_room(tmp_path: Path) -> None:
    directory = tmp_path / "phase"
    directory.mkdir()
    run = await launch(
        LaunchSpec(directory, ("/bin/sleep", "600"), "n1", tmp_path / "tool.log", tmp_path)
    )
    directory.rename(tmp_path / "moved")
    async with asyncio.timeout(60):
        assert await run.terminate(grace_seconds=5) is None


async def test_a_program_that_cannot_be_executed_ends_with_127_and_says_why(
    tmp_path: Path,
) -> None:
    run = await launch(spec(tmp_path, argv=(f"{tmp_path}/absent",)))

    assert await run.wait() == wrapper.EXIT_NOT_EXECUTED
    assert "No such file or directory" in (tmp_path / "tool.log").read_text()


async def test_a_tool_outlives_the_daemon_that_started_it(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, sys; from pathlib import Path\n"
        "from tests.integration.processes.test_runner import spec, launch\n"
        f"asyncio.run(launch(spec(Path({str(tmp_path)!r}), 'sleep 1; exit 4')))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[3]
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert await daemon.wait() == -signal.SIGKILL

    found = await attach(tmp_path)
    assert found is not None
    assert await found.wait() == 4


def zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
