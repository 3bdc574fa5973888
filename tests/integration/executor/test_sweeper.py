"""Each kind of thing that a migration leaves, planted: swept, shown or left alone."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tabletd.errors import NotWritable, TabletdError
from tabletd.executor.accounts import user_of
from tabletd.executor.engines.leftovers import SENTRY_COMMENT
from tabletd.executor.engines.settings import EngineSettings
from tabletd.executor.gc import GarbageCollector, GCSettings
from tabletd.executor.leftover import Kind, Leftover
from tabletd.executor.names import (
    TableGCState,
    create_gc_uuid,
    create_uuid,
    gc_table_name,
    parse_gc_table_name,
)
from tabletd.executor.store import Store
from tabletd.executor.sweeper import REMOVED_AT_ONCE_MAX, Sweeper
from tabletd.executor.verify.scratch import SCRATCH_COMMENT
from tabletd.mysql.pool import Pool
from tabletd.mysql.sidecar import ensure_sidecar
from tabletd.telemetry.vars import Registry
from tests.support.clock import FakeClock
from tests.support.pools import pool_of
from tests.support.servers import RealServer
from tests.support.submissions import submission

ALIAS = "zone1-0000000100"
STAMP = "20261123100000"


@dataclass
class Bench:
    """A sweeper on a server, and what tests plant for it.

    Attributes:
        refusal: raised instead of letting the daemon work for the server.
        busy: migrations that this process does something for.
    """

    server: RealServer
    pool: Pool
    database: str
    settings: EngineSettings
    registry: Registry = field(default_factory=Registry)
    refusal: TabletdError | None = None
    busy: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        store = Store(self.pool, tablet=ALIAS)
        clock = FakeClock(
            wall_ns=int(self.server.scalar("SELECT UNIX_TIMESTAMP()")) * 1_000_000_000
        )
        self.gc = GarbageCollector(store=store, pool=self.pool, settings=GCSettings(), clock=clock)
        self.sweeper = Sweeper(
            pool=self.pool,
            store=store,
            settings=self.settings,
            schemas={self.database},
            keep=self.gc.keep,
            check_writable=self._check_writable,
            busy=lambda: self.busy,
            registry=self.registry,
        )

    async def _check_writable(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def found(self, kind: Kind | None = None) -> list[Leftover]:
        return [one for one in await self.sweeper.find() if kind in (None, one.kind)]

    async def row(self, status: str = "failed", **columns: str) -> str:
        """Put the row of a migration of the table t into the queue."""
        uuid = create_uuid()
        new = submission(uuid, mysql_schema=self.database)
        await Store(self.pool, tablet=ALIAS).insert(new, shard="0")
        values = {"migration_status": status, **columns}
        assignments = ", ".join(f"{name} = %s" for name in values)
        self.server.query(
            f"UPDATE _vt.schema_migrations SET {assignments} WHERE migration_uuid = %s",
            (*values.values(), uuid),
        )
        return uuid

    def message(self, uuid: str) -> str:
        return str(
            self.server.scalar(
                "SELECT message FROM _vt.schema_migrations WHERE migration_uuid = %s", (uuid,)
            )
        )

    def make_table(self, name: str, comment: str = "") -> str:
        self.server.query(
            f"CREATE TABLE `{self.database}`.`{name}` (id INT PRIMARY KEY) COMMENT '{comment}'"
        )
        return name

    def make_trigger(self, name: str, into: str) -> None:
        self.server.query(
            f"CREATE TRIGGER `{self.database}`.`{name}` AFTER INSERT ON `{self.database}`.t"
            f" FOR EACH ROW REPLACE INTO `{self.database}`.`{into}` (id) VALUES (NEW.id)"
        )

    def make_account(self, user: str) -> None:
        self.server.query(f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'Secret-1'")

    def make_directory(self, uuid: str) -> Path:
        path = self.settings.run_directory / f"{ALIAS}-{uuid}-{uuid4().hex[:8]}"
        path.mkdir(parents=True)
        (path / "hold").touch()
        (path / "gh-ost.sock").touch()
        return path

    def tables(self) -> set[str]:
        return {str(row[0]) for row in self.server.query(f"SHOW TABLES IN `{self.database}`")}

    def triggers(self) -> set[str]:
        return {str(row[0]) for row in self.server.query(f"SHOW TRIGGERS IN `{self.database}`")}

    def accounts(self) -> set[str]:
        rows = self.server.query("SELECT user FROM mysql.user WHERE user LIKE 'tabletd\\_%%'")
        return {str(user) for (user,) in rows}

    def plant(self, uuid: str) -> Path:
        """Make everything that a run of either tool can leave, under the names of a migration."""
        stem = f"_{uuid}_{STAMP}"
        for suffix in ("gho", "ghc", "ghk", "new"):
            self.make_table(f"{stem}_{suffix}")
        self.make_table(f"{stem}_del", SENTRY_COMMENT)
        self.make_trigger(f"pt_osc_{self.database}_t_ins"[:64], f"{stem}_new")
        self.make_account(user_of(uuid))
        return self.make_directory(uuid)


@asynccontextmanager
async def bench_on(
    server: RealServer, database: str, tmp_path: Path, user: str = "root", password: str = ""
) -> AsyncGenerator[Bench]:
    """Make a sweeper of a primary, working as root or somebody else, and the table t."""
    settings = EngineSettings(
        tablet_alias=ALIAS,
        run_directory=tmp_path / "runs",
        log_directory=tmp_path / "logs",
        gh_ost_path="",
        pt_osc_path="",
        callback_url=lambda: "",
        stop_grace_seconds=2.0,
    )
    async with pool_of(server) as root_pool, root_pool.session() as session:
        await ensure_sidecar(session)
    async with pool_of(server, user=user, password=password) as pool:
        bench = Bench(server, pool, database, settings)
        bench.make_table("t")
        await bench.sweeper.make_primary()
        yield bench


@pytest.fixture
async def bench(any_server: RealServer, database: str, tmp_path: Path) -> AsyncGenerator[Bench]:
    """A sweeper on each flavour."""
    async with bench_on(any_server, database, tmp_path) as bench:
        yield bench


@pytest.fixture
async def mariadb_bench(
    mariadb: RealServer, database: str, tmp_path: Path
) -> AsyncGenerator[Bench]:
    """A sweeper on MariaDB, for what does not depend on the flavour."""
    async with bench_on(mariadb, database, tmp_path) as bench:
        yield bench


@contextmanager
def working_in(directory: Path) -> Generator[subprocess.Popen[bytes]]:
    """Run a process with this working directory."""
    with subprocess.Popen(["sleep", "60"], cwd=directory, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_all_that_a_finished_row_names_is_swept_and_told(bench: Bench) -> None:
    uuid = await bench.row(message="it failed")
    directory = bench.plant(uuid)
    with working_in(directory) as tool:
        swept, left_alone = await bench.sweeper.sweep()
        assert await asyncio.to_thread(tool.wait, 20) != 0
    assert [one.failure for one in swept if one.failure] == []
    assert left_alone == ()
    kinds = [one.leftover.kind for one in swept]
    assert kinds == sorted(kinds, key=list(Kind).index)
    assert set(kinds) == set(Kind) - {Kind.SOCKET}
    assert (bench.tables(), bench.triggers()) == ({"t"}, set())
    assert user_of(uuid) not in bench.accounts()
    assert not directory.exists()
    bench.server.query(f"INSERT INTO `{bench.database}`.t VALUES (1)")
    message = bench.message(uuid)
    assert message.startswith("it failed; swept: ")
    assert f"table {bench.database}._{uuid}_{STAMP}_gho" in message
    assert bench.registry["SweptLeftovers"].export() == len(swept)
    assert await bench.found() == []


async def test_the_same_without_a_row_is_shown_and_not_touched(bench: Bench) -> None:
    uuid = create_uuid()
    directory = bench.plant(uuid)
    with working_in(directory) as tool:
        swept, left_alone = await bench.sweeper.sweep()
        assert swept == ()
        assert {one.kind for one in left_alone} == set(Kind) - {Kind.SOCKET}
        assert all("no row names it" in one.note for one in left_alone)
        assert tool.poll() is None
    assert len(bench.tables()) == 6
    assert len(bench.triggers()) == 1
    assert user_of(uuid) in bench.accounts()
    assert directory.is_dir()
    assert bench.registry["UnownedLeftovers"].export() == len(left_alone)


@pytest.mark.parametrize("status", ["running", "failed"])
async def test_what_a_run_owns_that_is_not_settled_is_not_even_shown(
    bench: Bench, status: str
) -> None:
    uuid = await bench.row(status, run_nonce="n")
    directory = bench.plant(uuid)
    bench.server.query(
        "UPDATE _vt.schema_migrations SET run_directory = %s, run_account = %s",
        (str(directory), f"{user_of(uuid)}@127.0.0.1"),
    )
    with working_in(directory) as tool:
        assert await bench.sweeper.sweep() == ((), ())
        assert tool.poll() is None
    assert len(bench.tables()) == 6
    assert directory.is_dir()


async def test_another_directory_of_a_running_migration_is_swept(mariadb_bench: Bench) -> None:
    bench = mariadb_bench
    uuid = await bench.row("running", run_nonce="n", run_directory=f"/x/{ALIAS}-u-r")
    directory = bench.make_directory(uuid)
    swept, _ = await bench.sweeper.sweep()
    assert [one.leftover.name for one in swept] == [str(directory)]
    assert not directory.exists()


async def test_runs_by_hand_are_shown_and_not_touched(bench: Bench) -> None:
    await bench.row(artifacts="_t_old,")
    for name in ("_t_gho", "_t_ghc", "_t_new", "_t_old", "_notes_new", "__t_old"):
        bench.make_table(name)
    bench.make_trigger("pt_osc_shop_t_ins", "_t_new")
    swept, left_alone = await bench.sweeper.sweep()
    assert swept == ()
    shown = {one.name for one in left_alone}
    # The former table is a migration's own; the user's table has nothing to do with a migration.
    assert shown == {"_t_gho", "_t_ghc", "_t_new", "__t_old", "pt_osc_shop_t_ins"}
    assert shown - {"pt_osc_shop_t_ins"} <= bench.tables()


async def test_a_former_table_that_nobody_wrote_down_is_kept_for_its_retention(
    bench: Bench,
) -> None:
    uuid = await bench.row("complete", retain_artifacts_seconds="7200")
    bench.make_table(f"_{uuid}_{STAMP}_del")
    ((swept,), _) = await bench.sweeper.sweep()
    assert swept.failure == ""
    (kept,) = bench.tables() - {"t"}
    parsed = parse_gc_table_name(kept)
    assert parsed is not None
    assert parsed.state is TableGCState.HOLD
    row = bench.server.records("SELECT * FROM _vt.schema_migrations")[0]
    assert row["artifacts"] == f"{kept},"
    await bench.gc.step({bench.database})
    assert kept in bench.tables()
    assert await bench.found() == []


async def test_a_former_table_that_its_row_names_is_none_of_its_business(
    mariadb_bench: Bench,
) -> None:
    bench = mariadb_bench
    uuid = await bench.row("complete")
    name = bench.make_table(f"_{uuid}_{STAMP}_del")
    bench.server.query("UPDATE _vt.schema_migrations SET artifacts = %s", (f"{name},",))
    assert await bench.found() == []


async def test_nothing_is_dropped_while_the_table_itself_is_missing(mariadb_bench: Bench) -> None:
    bench = mariadb_bench
    uuid = await bench.row()
    bench.make_table(f"_{uuid}_{STAMP}_gho")
    bench.server.query(f"RENAME TABLE `{bench.database}`.t TO `{bench.database}`.elsewhere")
    swept, (shown,) = await bench.sweeper.sweep()
    assert swept == ()
    assert "there is no table t" in shown.note
    assert f"_{uuid}_{STAMP}_gho" in bench.tables()


async def test_a_table_stays_as_long_as_a_trigger_writes_into_it(mariadb_bench: Bench) -> None:
    bench = mariadb_bench
    uuid = await bench.row()
    new = bench.make_table(f"_{uuid}_{STAMP}_new")
    bench.make_trigger("pt_osc_shop_t_ins", new)
    with closing(bench.server.connect(bench.database, autocommit=False)) as holder:
        with holder.cursor() as cursor:
            cursor.execute("SELECT * FROM t")
        trigger, table = (await bench.sweeper.sweep())[0]
        assert "could not get the table's lock" in trigger.failure
        assert table.failure
        assert new in bench.tables()
        holder.rollback()
    swept, _ = await bench.sweeper.sweep()
    assert [one.failure for one in swept] == ["", ""]
    assert bench.tables() == {"t"}


@pytest.mark.parametrize("status", ["running", "failed", "gone"])
async def test_a_table_in_which_values_were_converted_goes_with_its_migration(
    mariadb_bench: Bench, status: str
) -> None:
    bench = mariadb_bench
    await bench.row("failed" if status == "gone" else status)
    number = 999 if status == "gone" else 1
    due = datetime.now(UTC) + timedelta(hours=24)
    name = gc_table_name(TableGCState.DROP, create_gc_uuid(number), due)
    bench.make_table(name, SCRATCH_COMMENT)
    swept, left_alone = await bench.sweeper.sweep()
    assert [one.leftover.name for one in swept] == [name] * (status == "failed")
    assert [one.name for one in left_alone] == [name] * (status == "gone")
    assert (name in bench.tables()) == (status != "failed")


async def test_a_bounded_number_is_removed_at_a_time(mariadb_bench: Bench) -> None:
    bench = mariadb_bench
    uuid = await bench.row()
    for number in range(REMOVED_AT_ONCE_MAX + 3):
        bench.make_table(f"_{uuid}_{int(STAMP) + number}_ghc")
    assert len((await bench.sweeper.sweep())[0]) == REMOVED_AT_ONCE_MAX
    assert len((await bench.sweeper.sweep())[0]) == 3


async def test_a_replica_ends_its_tools_and_touches_no_server(mariadb_bench: Bench) -> None:
    bench = mariadb_bench
    live = await bench.row("running", run_nonce="n")
    mine = bench.make_directory(live)
    bench.server.query("UPDATE _vt.schema_migrations SET run_directory = %s", (str(mine),))
    ended = await bench.row()
    gone = bench.plant(ended)
    await bench.sweeper.make_non_primary()
    with working_in(mine) as tool:
        bench.busy = {live}
        await bench.sweeper.sweep()
        assert tool.poll() is None
        bench.busy = set()
        await bench.sweeper.sweep()
        assert await asyncio.to_thread(tool.wait, 20) != 0
    assert mine.is_dir()
    assert not gone.exists()
    assert len(bench.tables()) == 6


async def test_a_tool_whose_directory_is_gone_is_found_all_the_same(mariadb_bench: Bench) -> None:
    bench = mariadb_bench
    directory = bench.make_directory(await bench.row())
    with working_in(directory) as tool:
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
        (process,) = await bench.found()
        assert (process.kind, process.name) == (Kind.PROCESS, str(tool.pid))
        await bench.sweeper.sweep()
        assert await asyncio.to_thread(tool.wait, 20) != 0


async def test_without_the_right_to_act_nothing_is_swept(mariadb_bench: Bench) -> None:
    bench = mariadb_bench
    uuid = await bench.row()
    directory = bench.plant(uuid)
    bench.refusal = NotWritable()
    with pytest.raises(NotWritable):
        await bench.sweeper.sweep()
    assert len(bench.tables()) == 6
    assert directory.is_dir()


async def test_who_may_not_see_accounts_sweeps_the_rest(
    any_server: RealServer, database: str, tmp_path: Path
) -> None:
    any_server.script(
        "CREATE USER 'narrow'@'127.0.0.1' IDENTIFIED BY 'Secret-1'",
        f"GRANT ALL ON `{database}`.* TO 'narrow'@'127.0.0.1'",
        "GRANT ALL ON _vt.* TO 'narrow'@'127.0.0.1'",
    )
    async with bench_on(
        any_server, database, tmp_path, user="narrow", password="Secret-1"
    ) as bench:
        bench.plant(await bench.row())
        swept, left_alone = await bench.sweeper.sweep()
        assert [one.failure for one in swept if one.failure] == []
        assert left_alone == ()
        assert (bench.tables(), bench.triggers()) == ({"t"}, set())


async def test_before_the_role_is_known_nothing_is_swept(mariadb_bench: Bench) -> None:
    await mariadb_bench.sweeper.close()
    with pytest.raises(TabletdError):
        await mariadb_bench.sweeper.sweep()
