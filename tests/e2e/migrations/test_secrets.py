"""Passwords and tokens are in no argument list, no log, no row, no readable file."""

from __future__ import annotations

import asyncio
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tabletd.sandbox.vexec_client import VExecClient
from tests.support.daemons import EACH_TOOL, Case, copying, live_table

_ASSIGNED = re.compile(r"(?im)^\s*(?:password|token)\s*[=:]\s*[\"'`]?([^\s\"'`]{8,})")


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_what_a_run_keeps_secret_is_seen_nowhere(case: Case, client: VExecClient) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", 20_000):
        migration_uuid = await client.submit(
            "orders", "ALTER TABLE orders ADD COLUMN extra INT", case.strategy, options=case.slow
        )
        await copying(client, migration_uuid)
        secrets = set(await asyncio.to_thread(_secrets_in, tablets.primary.run_directory))
        assert secrets, "the test does not know where the run keeps its secrets"
        row = await client.migration(migration_uuid)
        seen = "\n".join(
            [
                *_argument_lists(),
                *(value or "" for value in row.values()),
                tablets.primary.log.read_text(),
                *(
                    path.read_text(errors="replace")
                    for path in tablets.primary.run_directory.rglob("*.log")
                ),
                "\n".join(psutil.Process(tablets.primary.identity.pid).environ().values()),
            ]
        )
        assert [secret for secret in secrets if secret in seen] == []
        assert await client.cancel(migration_uuid) == 1
        await tablets.leaves_no_trace(migration_uuid)


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_only_the_daemons_user_can_look_into_a_run(case: Case, client: VExecClient) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", 20_000):
        migration_uuid = await client.submit(
            "orders", "ALTER TABLE orders ADD COLUMN extra INT", case.strategy, options=case.slow
        )
        await copying(client, migration_uuid)
        private = Path((await client.migration(migration_uuid))["run_directory"] or "missing")
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert await client.cancel(migration_uuid) == 1
        await tablets.leaves_no_trace(migration_uuid)


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_the_tools_account_may_not_write_to_a_read_only_server(
    case: Case, client: VExecClient
) -> None:
    tablets = case.tablets
    async with live_table(tablets, "orders", 20_000):
        migration_uuid = await client.submit(
            "orders", "ALTER TABLE orders ADD COLUMN extra INT", case.strategy, options=case.slow
        )
        await copying(client, migration_uuid)
        account = (await client.migration(migration_uuid))["run_account"] or ""
        user, _, host = account.rpartition("@")
        rows = await asyncio.to_thread(
            tablets.servers.primary.query, f"SHOW GRANTS FOR '{user}'@'{host}'"
        )
        grants = " ".join(str(grant) for (grant,) in rows)
        for forbidden in ("ALL PRIVILEGES", "SUPER", "READ ONLY ADMIN", "READ_ONLY ADMIN"):
            assert forbidden not in grants
        assert "CONNECTION ADMIN" not in grants
        assert await client.cancel(migration_uuid) == 1
        await tablets.leaves_no_trace(migration_uuid)


def _secrets_in(directory: Path) -> Iterator[str]:
    for path in directory.rglob("*"):
        if not path.is_file() or path.suffix == ".log":
            continue
        text = path.read_text(errors="replace")
        if path.name == "account":
            yield text.strip()
        yield from _ASSIGNED.findall(text)


def _argument_lists() -> Iterator[str]:
    for process in psutil.process_iter():
        try:
            yield " ".join(process.cmdline())
        except psutil.Error:
            continue
