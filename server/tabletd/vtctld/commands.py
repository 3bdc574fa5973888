"""The commands of v8 to v17 clients that concern schema changes: words in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from google.protobuf.json_format import MessageToJson

from tabletd.durations import parse_duration
from tabletd.errors import Reason, TabletdError
from tabletd.executor.names import is_online_ddl_uuid
from tabletd.vtctld.apply_schema import ApplySchema
from tabletd.vtctld.migrations import Migrations, Verb
from tabletd_pb import vtctldata_pb2, vtrpc_pb2, vttime_pb2

_RECENT_SECONDS: Final = 7 * 86400
_DIGITS_MAX: Final = 18  # what every integer of the messages can hold
_SWITCHES: Final = frozenset({"json", "skip_preflight", "allow_long_unavailability"})
_VALUED: Final = frozenset(
    {
        "batch_size",
        "caller_id",
        "ddl_strategy",
        "limit",
        "migration_context",
        "order",
        "request_context",
        "skip",
        "sql",
        "uuid_list",
        "wait_replicas_timeout",
        "wait_slave_timeout",
    }
)
_VERBS: Final = {verb.value.replace("_", "-"): verb for verb in Verb}
_STATUSES: Final = {
    name.lower(): number for name, number in vtctldata_pb2.SchemaMigration.Status.items()
}
_STRATEGIES: Final = {
    vtctldata_pb2.SchemaMigration.GHOST: "gh-ost",
    vtctldata_pb2.SchemaMigration.PTOSC: "pt-osc",
    vtctldata_pb2.SchemaMigration.DIRECT: "direct",
    vtctldata_pb2.SchemaMigration.MYSQL: "mysql",
}
_HEADER: Final = (
    "Shard",
    "mysql_schema",
    "mysql_table",
    "ddl_action",
    "migration_uuid",
    "strategy",
    "started_timestamp",
    "completed_timestamp",
    "migration_status",
)


@dataclass(frozen=True)
class _Words:
    """A command's flags by name (underscores for hyphens), and its other words."""

    flags: Mapping[str, str]
    arguments: tuple[str, ...]

    def integer(self, name: str) -> int:
        text = self.flags.get(name, "0")
        if not text.isdecimal() or len(text) > _DIGITS_MAX:
            raise _usage(f"-{name} takes a number, not {text[:40]!r}")
        return int(text)

    def duration(self, name: str) -> vttime_pb2.Duration | None:
        text = self.flags.get(name)
        if text is None:
            return None
        try:
            seconds = parse_duration(text)
        except TabletdError:
            seconds = -1.0
        if seconds < 0:
            raise _usage(f"-{name} takes a duration such as 10s, not {text[:40]!r}")
        return vttime_pb2.Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


class Commands:
    """Carries out `OnlineDDL` and `ApplySchema`.

    Args:
        migrations: lists and controls.
        schema: applies schema changes.
    """

    def __init__(self, *, migrations: Migrations, schema: ApplySchema) -> None:
        self._migrations = migrations
        self._schema = schema

    async def run(self, args: Sequence[str]) -> str:
        """Carry out a command; return what it prints.

        Args:
            args: the command's name and its words, as given in a shell.

        Raises:
            TabletdError: UNSUPPORTED_METHOD for another command; INVALID_REQUEST for wrong words;
                as `Migrations` and `ApplySchema`.
        """
        name, *rest = args or [""]
        words = _read(rest)
        match name.lower():
            case "onlineddl":
                return await self._online_ddl(words)
            case "applyschema":
                return await self._apply_schema(words)
            case _:
                raise TabletdError(
                    Reason.UNSUPPORTED_METHOD,
                    f"the command {name[:100]!r} is not offered by tabletd",
                    hint="OnlineDDL and ApplySchema are; vtctldclient has the others",
                )

    async def _apply_schema(self, words: _Words) -> str:
        applied = await self._schema.apply(_schema_request(words))
        return "".join(f"{migration}\n" for migration in applied.uuids)

    async def _online_ddl(self, words: _Words) -> str:
        if len(words.arguments) not in (2, 3):
            raise _usage("OnlineDDL [-json] <keyspace> <command> [<migration_uuid>]")
        keyspace, command, *rest = words.arguments
        argument = rest[0] if rest else ""
        if command == "show":
            return await self._show(words, keyspace, argument)
        verb = _VERBS.get(command.removesuffix("-all"))
        if verb is None or (verb is Verb.RETRY and command.endswith("-all")):
            raise _usage(f"Unknown OnlineDDL command: {command}")
        if command.endswith("-all"):
            if argument:
                raise _usage(f"UUID not allowed in {command}")
            argument = "all"
        elif not argument:
            raise _usage("UUID required")
        rows = await self._migrations.command(verb, keyspace, argument)
        if "json" in words.flags:
            answer = vtctldata_pb2.CancelSchemaMigrationResponse(rows_affected_by_shard=rows)
            return MessageToJson(answer, preserving_proto_field_name=True) + "\n"
        return _table(
            ("Shard", "RowsAffected"), [(name, str(count)) for name, count in rows.items()]
        )

    async def _show(self, words: _Words, keyspace: str, argument: str) -> str:
        request = vtctldata_pb2.GetSchemaMigrationsRequest(
            keyspace=keyspace,
            limit=words.integer("limit"),
            skip=words.integer("skip"),
            order=vtctldata_pb2.DESCENDING
            if words.flags.get("order", "").startswith("desc")
            else vtctldata_pb2.ASCENDING,
        )
        if argument == "recent":
            request.recent.seconds = _RECENT_SECONDS
        elif argument.lower() in _STATUSES:
            request.status = _STATUSES[argument.lower()]
        elif is_online_ddl_uuid(argument.lower()):
            request.uuid = argument
        elif argument not in ("", "all"):
            request.migration_context = argument
        found = await self._migrations.listing(request)
        if "json" in words.flags:
            answer = vtctldata_pb2.GetSchemaMigrationsResponse(migrations=found)
            return MessageToJson(answer, preserving_proto_field_name=True) + "\n"
        return _table(_HEADER, [_row(migration) for migration in found])


def is_reading(args: Sequence[str]) -> bool:
    """Tell whether a command, as `Commands.run` takes it, changes nothing."""
    name, *rest = args or [""]
    try:
        words = _read(rest)
    except TabletdError:
        return False
    return name.lower() == "onlineddl" and words.arguments[1:2] == ("show",)


def applied_by(args: Sequence[str]) -> vtctldata_pb2.ApplySchemaRequest | None:
    """Return what a command, as `Commands.run` takes it, applies; None: nothing."""
    name, *rest = args or [""]
    if name.lower() != "applyschema":
        return None
    try:
        return _schema_request(_read(rest))
    except TabletdError:
        return None


def _schema_request(words: _Words) -> vtctldata_pb2.ApplySchemaRequest:
    flags = words.flags
    if len(words.arguments) != 1 or "sql" not in flags:
        raise _usage("ApplySchema -sql=<sql> [-ddl_strategy=<strategy>] <keyspace>")
    wait = words.duration("wait_replicas_timeout") or words.duration("wait_slave_timeout")
    caller = vtrpc_pb2.CallerID(principal=flags["caller_id"]) if "caller_id" in flags else None
    return vtctldata_pb2.ApplySchemaRequest(
        keyspace=words.arguments[0],
        sql=[flags["sql"]],
        ddl_strategy=flags.get("ddl_strategy", ""),
        uuid_list=[one for one in flags.get("uuid_list", "").split(",") if one],
        migration_context=flags.get("migration_context") or flags.get("request_context", ""),
        wait_replicas_timeout=wait,
        caller_id=caller,
        batch_size=words.integer("batch_size"),
    )


def _read(words: Sequence[str]) -> _Words:
    """Part the flags from the other words; one hyphen or two, the value behind `=` or a blank."""
    flags: dict[str, str] = {}
    arguments: list[str] = []
    remaining = iter(words)
    for word in remaining:
        if word == "--" or not word.startswith("-"):
            arguments += [word] if word != "--" else list(remaining)
            continue
        written, equals, value = word.lstrip("-").partition("=")
        name = written.replace("-", "_")
        if name in _SWITCHES:
            if value not in ("false", "0"):
                flags[name] = "true"
        elif name not in _VALUED:
            raise _usage(f"unknown flag {word[:100]!r}")
        elif equals:
            flags[name] = value
        else:
            following = next(remaining, None)
            if following is None:
                raise _usage(f"the flag -{name} needs a value")
            flags[name] = following
    return _Words(flags, tuple(arguments))


def _row(migration: vtctldata_pb2.SchemaMigration) -> tuple[str, ...]:
    return (
        migration.shard,
        migration.schema,
        migration.table,
        migration.ddl_action,
        migration.uuid,
        _STRATEGIES.get(migration.strategy, "online"),
        _moment(migration.started_at),
        _moment(migration.completed_at),
        vtctldata_pb2.SchemaMigration.Status.Name(migration.status).lower(),
    )


def _moment(time: vttime_pb2.Time) -> str:
    if not time.seconds:
        return ""
    return datetime.fromtimestamp(time.seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the table as the `mysql` program draws one."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+\n"

    def line(cells: Sequence[str]) -> str:
        padded = (f" {cell:<{width}} " for cell, width in zip(cells, widths, strict=True))
        return "|" + "|".join(padded) + "|\n"

    return rule + line(header) + rule + "".join(map(line, rows)) + (rule if rows else "")


def _usage(problem: str) -> TabletdError:
    return TabletdError(Reason.INVALID_REQUEST, problem)
