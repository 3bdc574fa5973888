"""Checks of the whole: is each shard in order, and are its tablets alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from tabletd.errors import Reason, TabletdError
from tabletd.executor.accounts import is_run_account
from tabletd.topology import TabletPlace, Topology
from tabletd.vtctld.fan_out import FanOut
from tabletd.vtctld.tablet_calls import TabletCalls
from tabletd.vtctld.tablets import TabletClients
from tabletd_pb import tabletmanagerdata_pb2, topodata_pb2, vtctldata_pb2

_READ_SECONDS_MAX: Final = 60.0
# Hash the same password to something else on each server.
_SALTED: Final = frozenset({"caching_sha2_password", "sha256_password"})

T = TypeVar("T")


class Validation:
    """Looks and reports; nothing is changed.

    Args:
        topology: who is there and what they say of themselves.
        fan_out: calls several tablets.
        clients: connections to them.
        calls: asks for versions.
    """

    def __init__(
        self, *, topology: Topology, fan_out: FanOut, clients: TabletClients, calls: TabletCalls
    ) -> None:
        self._topology = topology
        self._fan_out = fan_out
        self._clients = clients
        self._calls = calls

    async def keyspace(self, keyspace: str, *, ping: bool) -> dict[str, list[str]]:
        """Return what is wrong with each shard.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        shards = self._topology.layout.shards(keyspace)
        return {shard: await self.shard(keyspace, shard, ping=ping) for shard in shards}

    async def shard(self, keyspace: str, shard: str, *, ping: bool) -> list[str]:
        """Return what is wrong with a shard: its primary, and tablets that are not healthy.

        Args:
            keyspace: whose.
            shard: which.
            ping: ask each tablet for a sign of life as well.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        tablets = self._topology.layout.shard_tablets(keyspace, shard)
        healths = {tablet.alias: self._topology.health(tablet) for tablet in tablets}
        problems = [f"{name} {health.error}" for name, health in healths.items() if health.error]
        primaries = [
            name for name, health in healths.items() if health.tablet_type == topodata_pb2.PRIMARY
        ]
        if not primaries:
            problems.append(f"no primary in shard {keyspace}/{shard}")
        elif len(primaries) > 1:
            problems.append(
                f"more than one primary in shard {keyspace}/{shard}: {', '.join(primaries)}"
            )
        if ping:
            outcome = await self._fan_out.each(_by_alias(tablets), self._ping)
            problems += [f"{name}: ping failed: {error}" for name, error in outcome.errors.items()]
        return problems

    async def schemas(
        self, request: vtctldata_pb2.ValidateSchemaKeyspaceRequest
    ) -> dict[str, list[str]]:
        """Compare the schema of every tablet with that of the first shard's primary.

        Returns:
            what is different, by shard.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        shards = list(request.shards) or self._topology.layout.shards(request.keyspace)
        compared = [
            shard
            for shard in shards
            if self._topology.primary(request.keyspace, shard) or not request.skip_no_primary
        ]
        read = tabletmanagerdata_pb2.GetSchemaRequest(
            exclude_tables=request.exclude_tables,
            include_views=request.include_views,
            table_schema_only=True,
        )

        async def tables(tablet: TabletPlace) -> dict[str, str]:
            answer = await self._clients.call(
                tablet,
                lambda stub: stub.manager.GetSchema,
                read,
                timeout_seconds=_READ_SECONDS_MAX,
            )
            return {
                table.name: table.schema for table in answer.schema_definition.table_definitions
            }

        return await self._compare(request.keyspace, compared, tables, _schema_differences)

    async def versions(self, keyspace: str, shards: Sequence[str] = ()) -> dict[str, list[str]]:
        """Compare the version of every tablet with that of the first shard's primary.

        Args:
            keyspace: whose.
            shards: which; empty: all.

        Returns:
            what is different, by shard.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        wanted = shards or self._topology.layout.shards(keyspace)
        return await self._compare(keyspace, wanted, self._calls.version, _version_differences)

    async def permissions(self, keyspace: str, shards: Sequence[str] = ()) -> None:
        """Compare the accounts of every server with those of the first shard's primary.

        Accounts that live no longer than a migration's run are passed over.

        Args:
            keyspace: whose.
            shards: which; empty: all.

        Raises:
            TabletdError: TABLETS_DIFFER, saying what is different; TOPOLOGY_NOT_FOUND.
        """
        wanted = shards or self._topology.layout.shards(keyspace)
        found = await self._compare(keyspace, wanted, self._accounts, _account_differences)
        if problems := joined(found):
            raise TabletdError(
                Reason.TABLETS_DIFFER,
                f"permissions diffs: {'; '.join(problems)}",
                hint="make the accounts alike on every primary; replicas follow",
                keyspace=keyspace,
            )

    async def vschema(self, request: vtctldata_pb2.ValidateVSchemaRequest) -> dict[str, list[str]]:
        """Look whether each shard's tables can be read; there are no rules to miss them in.

        Returns:
            what is wrong, by shard.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        names = list(request.shards) or self._topology.layout.shards(request.keyspace)
        problems: dict[str, list[str]] = {}
        primaries: dict[str, TabletPlace] = {}
        for shard in names:
            self._topology.layout.shard_tablets(request.keyspace, shard)
            primary = self._topology.primary(request.keyspace, shard)
            problems[shard] = []
            if primary is None:
                problems[shard].append(f"no primary in shard {request.keyspace}/{shard}")
            else:
                primaries[shard] = primary
        read = tabletmanagerdata_pb2.GetSchemaRequest(
            exclude_tables=request.exclude_tables,
            include_views=request.include_views,
            table_schema_only=True,
        )

        async def tables(tablet: TabletPlace) -> None:
            await self._clients.call(
                tablet,
                lambda stub: stub.manager.GetSchema,
                read,
                timeout_seconds=_READ_SECONDS_MAX,
            )

        outcome = await self._fan_out.each(primaries, tables)
        for shard, error in outcome.errors.items():
            problems[shard].append(f"{primaries[shard].alias}: {error}")
        return problems

    async def _accounts(self, tablet: TabletPlace) -> dict[str, Mapping[str, str]]:
        """Return what each account of a server may do, by account and database."""
        answer = await self._clients.call(
            tablet,
            lambda stub: stub.manager.GetPermissions,
            tabletmanagerdata_pb2.GetPermissionsRequest(),
            timeout_seconds=_READ_SECONDS_MAX,
        )
        accounts: dict[str, Mapping[str, str]] = {}
        for user in answer.permissions.user_permissions:
            rights = dict(user.privileges)
            if rights.get("plugin") not in _SALTED:
                rights["password"] = str(user.password_checksum)
            if not is_run_account(user.user):
                accounts[f"user {user.user}@{user.host}"] = rights
        for db in answer.permissions.db_permissions:
            if not is_run_account(db.user):
                accounts[f"right of {db.user}@{db.host} on {db.db}"] = dict(db.privileges)
        return accounts

    async def _ping(self, tablet: TabletPlace) -> None:
        await self._clients.call(
            tablet,
            lambda stub: stub.manager.Ping,
            tabletmanagerdata_pb2.PingRequest(payload=tablet.alias),
        )

    async def _compare(
        self,
        keyspace: str,
        shards: Iterable[str],
        read: Callable[[TabletPlace], Awaitable[T]],
        differences: Callable[[TabletPlace, T, TabletPlace, T], list[str]],
    ) -> dict[str, list[str]]:
        layout, problems = self._topology.layout, dict[str, list[str]]()
        tablets: dict[str, TabletPlace] = {}
        reference: TabletPlace | None = None
        for shard in shards:
            problems[shard] = []
            tablets |= _by_alias(layout.shard_tablets(keyspace, shard))
            primary = self._topology.primary(keyspace, shard)
            reference = reference or primary
            if primary is None:
                problems[shard].append(f"no primary in shard {keyspace}/{shard}")
        outcome = await self._fan_out.each(tablets, read)
        for name, error in outcome.errors.items():
            problems[tablets[name].shard].append(f"{name}: {error}")
        if reference is None or reference.alias not in outcome.answers:
            return problems
        model = outcome.answers[reference.alias]
        for name, found in outcome.answers.items():
            tablet = tablets[name]
            problems[tablet.shard] += differences(reference, model, tablet, found)
        return problems


def _by_alias(tablets: Iterable[TabletPlace]) -> dict[str, TabletPlace]:
    return {tablet.alias: tablet for tablet in tablets}


def _schema_differences(
    reference: TabletPlace,
    model: Mapping[str, str],
    tablet: TabletPlace,
    found: Mapping[str, str],
) -> list[str]:
    problems: list[str] = []
    for table in sorted(model.keys() | found.keys()):
        if table not in found:
            problems.append(f"{reference.alias} has an extra table named {table}")
        elif table not in model:
            problems.append(f"{tablet.alias} has an extra table named {table}")
        elif model[table] != found[table]:
            problems.append(
                f"schemas differ on table {table}:\n"
                f"{reference.alias}: {model[table]}\n  differs from:\n"
                f"{tablet.alias}: {found[table]}"
            )
    return problems


def _version_differences(
    reference: TabletPlace, model: str, tablet: TabletPlace, found: str
) -> list[str]:
    if found == model:
        return []
    return [f"primary {reference.alias} version {model} differs from {tablet.alias} {found}"]


def _account_differences(
    reference: TabletPlace,
    model: Mapping[str, Mapping[str, str]],
    tablet: TabletPlace,
    found: Mapping[str, Mapping[str, str]],
) -> list[str]:
    problems = [
        f"{one.alias} has an extra {name}"
        for one, its, others in ((reference, model, found), (tablet, found, model))
        for name in sorted(its.keys() - others.keys())
    ]
    for name in sorted(model.keys() & found.keys()):
        ours, theirs = model[name], found[name]
        # Servers of two versions have not the same columns: what one lacks says nothing.
        differing = [key for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]]
        if differing:
            problems.append(
                f"{tablet.alias} differs from {reference.alias} in {name}: "
                f"{', '.join(sorted(differing))}"
            )
    return problems


def joined(problems: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what is wrong with any shard, in the order of shards."""
    return [problem for found in problems.values() for problem in found]
