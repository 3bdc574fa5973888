"""Passwords and tokens are in no argument list, no log, no row, no file that others can read."""

from __future__ import annotations

import asyncio
import os
import resource
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tabletd.executor.hooks import read_callback
from tabletd.sandbox.accounts import DAEMON_PASSWORD
from tabletd.sandbox.vexec_client import VExecClient
from tests.support.daemons import EACH_TOOL, Case, TabletPair, command, copying, live_table
from tests.support.servers import RealServer

PASSWORD, TOKEN, WRONG = "the migration's password", "the callback's token", "a wrong token"
DAEMONS = "the daemon's password"


class Watch:
    """Looks at all that others can see while a migration runs, and keeps it.

    Attributes:
        seen: the texts, each with where it was.
        secrets: what must be in none of them, by what it is.
        faults: what is wrong whatever the secrets are.
    """

    def __init__(self, tablets: TabletPair) -> None:
        self.seen: set[tuple[str, str]] = set()
        self.secrets = {DAEMONS: DAEMON_PASSWORD}
        self.faults: set[str] = set()
        self._tablets = tablets

    @property
    def knows_the_run(self) -> bool:
        """Whether it knows the secrets of the run itself."""
        return {PASSWORD, TOKEN} <= self.secrets.keys()

    def look(self, private: Path | None) -> None:
        """Look once; blocks.

        Args:
            private: the run's directory, if it has one.
        """
        if private is not None:
            self._learn(private)
            self.faults |= set(open_to_others(private))
        for process in self._processes():
            with suppress(psutil.Error):
                name = " ".join(process.cmdline())
                self.seen.add(("an argument list", name))
                self.seen.add((f"the environment of {name}", str(process.environ())))
                if process.rlimit(resource.RLIMIT_CORE)[0] > 1:
                    self.faults.add(f"{name} may leave a core dump")
        # The writers' statements are no text.
        statements = "SELECT HEX(info) FROM information_schema.processlist WHERE info IS NOT NULL"
        for (text,) in self._tablets.servers.primary.query(statements):
            shown = bytes.fromhex(text).decode(errors="replace")
            self.seen.add(("the process list", shown))

    def look_into_files(self, general_log: Path) -> None:
        """Read all files of both daemons that are not private, and the server's own; blocks."""
        server = self._tablets.servers.primary.server
        places = [general_log, server.error_log, *(server.directory / "data").glob("binlog.*")]
        for daemon in (self._tablets.primary, self._tablets.replica):
            places += [path for path in below(daemon.directory) if path.is_file()]
        for path in places:
            # It holds the daemon's password, and is the operator's own.
            if path.name != "tabletd.toml":
                self.seen.add((str(path), path.read_text(errors="replace")))

    def found(self) -> list[str]:
        """Return which secret was seen where.

        The daemon's account was made by the fixture, as an operator makes it.
        """
        return [
            f"{what} in {where}"
            for what, secret in self.secrets.items()
            for where, text in sorted(self.seen)
            if secret in text and not (what == DAEMONS and "/binlog." in where)
        ]

    def _learn(self, private: Path) -> None:
        found: dict[str, str] = {}
        with suppress(OSError):
            found[PASSWORD] = (private / "account").read_text()
        callback = read_callback(private, "")
        if callback is not None:
            found[TOKEN] = callback.token
        for what, secret in found.items():
            # A file may be looked at before it is written, or after it was overwritten.
            if len(secret.strip("\0")) > 30:
                self.secrets.setdefault(what, secret)

    def _processes(self) -> Iterator[psutil.Process]:
        daemons = (self._tablets.primary, self._tablets.replica)
        roots = [psutil.Process(daemon.identity.pid) for daemon in daemons]
        for root in (*roots, *self._tablets.tool_processes()):
            yield root
            with suppress(psutil.Error):
                yield from root.children(recursive=True)


def below(directory: Path) -> Iterator[Path]:
    """Return all that is in a directory, some of which may be removed meanwhile."""
    for place, directories, files in os.walk(directory):
        yield from (Path(place, name) for name in (*directories, *files))


def open_to_others(private: Path) -> Iterator[str]:
    """Name what others than the daemon's account could use."""
    for path in (private, *below(private)):
        with suppress(FileNotFoundError):
            if path.lstat().st_mode & 0o077 and not path.is_socket():
                yield f"{path} is open to others"


@contextmanager
def general_log(server: RealServer) -> Generator[Path]:
    """Have a server write down all statements."""
    path = server.server.directory / "general.log"
    server.script(f"SET GLOBAL general_log_file = '{path}'", "SET GLOBAL general_log = ON")
    try:
        yield path
    finally:
        server.query("SET GLOBAL general_log = OFF")


def refused_report(address: str, migration_uuid: str, token: str) -> str:
    """Report with a token that is none; return the refusal."""
    query = f"uuid={migration_uuid}&status=running"
    request = urllib.request.Request(
        f"http://{address}/schema-migration/report-status?{query}",
        headers={"Authorization": f"Bearer {token}"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 403
    return refused.value.read().decode()


@pytest.mark.parametrize("case", EACH_TOOL, indirect=True)
async def test_nobody_sees_a_secret_of_a_run_from_its_beginning_to_its_end(
    case: Case, client: VExecClient
) -> None:
    tablets = case.tablets
    watch, options = Watch(tablets), f"--postpone-completion {case.brief}"
    async with live_table(tablets, "orders", 3_000):
        with general_log(tablets.servers.primary) as log:
            uuid = await client.submit(
                "orders", "ALTER TABLE orders ADD COLUMN extra INT", case.strategy, options=options
            )
            async for record in client.watch(uuid):
                watch.seen.add(("an answer", str(record)))
                private = Path(record["run_directory"]) if record["run_directory"] else None
                await asyncio.to_thread(watch.look, private)
                is_copying = int(record["rows_copied"] or 0) > 0
                if is_copying and watch.knows_the_run and WRONG not in watch.secrets:
                    # It waits for us before it swaps the tables.
                    watch.secrets[WRONG] = wrong = "0123456789-of-nobody"
                    text = await asyncio.to_thread(
                        refused_report, tablets.primary.http, uuid, wrong
                    )
                    watch.seen.add(("the refusal of a report", text))
                    await command(tablets, uuid, "complete")
            await client.wait(uuid, until={"complete"})
            await tablets.leaves_no_trace(uuid)
        await asyncio.to_thread(watch.look_into_files, log)
    assert len(watch.secrets) == 4, watch.secrets
    assert any("CREATE USER" in text for where, text in watch.seen if where == str(log))
    assert watch.found() == []
    assert watch.faults == set()


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
