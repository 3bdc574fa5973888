"""Runs the checks, in order, and keeps going whatever one of them meets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, TypeVar

from tabletd.app.logins import Logins
from tabletd.doctor.findings import Check, Finding, Line, Verdict, aside, fail, refused
from tabletd.doctor.machine import MACHINE_CHECKS, Machine
from tabletd.doctor.server import SERVER_CHECKS, meet
from tabletd.doctor.tools import TOOL_CHECKS
from tabletd.errors import Reason, TabletdError
from tabletd.mysql.pool import Pool

_CHECK_SECONDS_MAX: Final = 60.0
_LOGIN: Final = "login to MySQL"
_GRANTS: Final = "grants"
_Subject = TypeVar("_Subject")


async def examine(machine: Machine) -> list[Line]:
    """Look at all of it.

    Args:
        machine: the settings and where they stand.
    """
    lines = await _run(MACHINE_CHECKS, machine)
    try:
        async with asyncio.timeout(_CHECK_SECONDS_MAX):
            logins = await aside(Logins)(machine.config)
    except TabletdError as error:
        return [*lines, Line(_LOGIN, refused(error)), *_unseen()]
    except TimeoutError:
        return [*lines, Line(_LOGIN, _no_answer()), *_unseen()]
    pool = Pool(logins.dba, name="Doctor", size_max=1)
    await pool.open()
    try:
        async with pool.session() as session:
            server, findings = await meet(machine.config, session, pool.settings)
            lines += [Line(_LOGIN, finding) for finding in findings]
            lines += await _run((*SERVER_CHECKS, *TOOL_CHECKS), server)
    except TabletdError as error:
        name = _GRANTS if error.reason is Reason.MISSING_GRANT else _LOGIN
        lines += [Line(name, refused(error)), *_unseen()]
    finally:
        await pool.close()
    return lines


async def _run(checks: Sequence[Check[_Subject]], subject: _Subject) -> list[Line]:
    lines: list[Line] = []
    for check in checks:
        lines += [Line(check.name, finding) for finding in await _look(check, subject)]
    return lines


async def _look(check: Check[_Subject], subject: _Subject) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(_CHECK_SECONDS_MAX):
            return await check.look(subject)
    except TabletdError as error:
        return [refused(error)]
    except TimeoutError:
        return [_no_answer()]
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return [
            fail(f"cannot look at it:{where} {error.strerror}", "run this as the daemon's user")
        ]


def _no_answer() -> Finding:
    return fail(f"no answer within {_CHECK_SECONDS_MAX:g} s", "look at it by hand")


def _unseen() -> list[Line]:
    """Say what could not be looked at without the server."""
    names = ", ".join(check.name for check in (*SERVER_CHECKS, *TOOL_CHECKS))
    text = f"not looked at, since the server cannot be asked: {names}"
    return [Line("server", Finding(Verdict.WARN, text, "mend that first"))]
