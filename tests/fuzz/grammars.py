"""What is sent: statements, flags, settings, each partly sound and partly not."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from tabletd.config import KEYS, SECRETS
from tests.fuzz.chance import HOSTILE, corpus, mutated, often, pick

UUIDS: Final = tuple(f"00000000_0000_0000_0000_00000000000{digit:x}" for digit in range(16))
_VEXEC: Final = corpus("vexec")
_DDL: Final = corpus("ddl")
_FLAGS: Final = corpus("flags")
_COMMANDS: Final = corpus("commands")
_CONFIG: Final = corpus("config")
_TOPOLOGY: Final = corpus("topology")

_COLUMNS: Final = (
    *("id", "migration_uuid", "`keyspace`", "migration_status", "retries", "requested_timestamp"),
    *("_vt.schema_migrations.id", "schema_migrations.shard", "note", "``", "*", "1", "'x'", "NULL"),
)
_FUNCTIONS: Final = (
    *("count", "max", "hex", "concat", "if", "substr", "ifnull", "group_concat", "date_format"),
    *("sleep", "benchmark", "load_file", "get_lock", "version", "user", "`hex`", "sys.hex", "uuid"),
)
_OPERATORS: Final = ("=", "<>", "<=>", "like", "in", "between 1 and", "regexp", "is not", "+", "||")
_TABLES: Final = (
    *("_vt.schema_migrations",) * 8,
    *("`_vt`.`schema_migrations`", "_vt . schema_migrations", "schema_migrations", "secret.kept"),
    *(
        "_vt.heartbeat",
        "_vt.schema_migrations m",
        "_vt.schema_migrations, secret.kept",
        "mysql.user",
    ),
)
_TAILS: Final = (
    *("", "", "", " order by id desc", " limit 3", " group by shard having count(*) > 1"),
    *(" for update", " into outfile '/tmp/x'", " union select note from secret.kept", ";", ";;"),
    *(" procedure analyse()", " lock in share mode", " into @x", "; drop table secret.kept"),
)
_GAPS: Final = (" ", "  ", "\n", "\t", "/* c */", "/**/", "-- c\n", "#\n", "/*!50000 */", "/*M! */")


def _spaced(chance: random.Random, text: str) -> str:
    """Put other gaps between a few words."""
    words = text.split(" ")
    return "".join(
        word + (pick(chance, _GAPS) if often(chance, 4) else " ") for word in words[:-1]
    ) + words[-1]  # fmt: skip


def _expression(chance: random.Random, depth: int = 3) -> str:
    match chance.randrange(6 if depth else 3):
        case 0 | 1:
            return pick(chance, _COLUMNS)
        case 2:
            return f"'{pick(chance, HOSTILE)}'" if often(chance, 30) else str(chance.randrange(99))
        case 3:
            arguments = ", ".join(
                _expression(chance, depth - 1) for _ in range(chance.randrange(4))
            )
            return f"{pick(chance, _FUNCTIONS)}({arguments})"
        case 4:
            left, right = _expression(chance, depth - 1), _expression(chance, depth - 1)
            return f"{left} {pick(chance, _OPERATORS)} {right}"
        case _:
            return f"({_expression(chance, depth - 1)})"


def vexec_statement(chance: random.Random) -> str:
    """Draw what may be sent by VExec, or looks like it."""
    match chance.randrange(8):
        case 0 | 1 | 2:
            columns = ", ".join(_expression(chance) for _ in range(chance.randrange(1, 4)))
            where = f" where {_expression(chance)}" if often(chance, 60) else ""
            table, tail = pick(chance, _TABLES), pick(chance, _TAILS)
            text = f"select {columns} from {table}{where}{tail}"
        case 3:
            command = pick(chance, ("cancel", "retry", "cancel-all", "complete", "x"))
            text = (
                f"update _vt.schema_migrations set migration_status='{command}' where "
                f"migration_uuid='{pick(chance, UUIDS)}' and mysql_schema='shop'"
            )
        case 4:
            text = _insert(chance)
        case _:
            text = pick(chance, _VEXEC)
    text = _spaced(chance, text) if often(chance, 30) else text
    return mutated(chance, text, _VEXEC) if often(chance, 50) else text


def _insert(chance: random.Random) -> str:
    table = pick(chance, ("t", "u", ""))
    time = pick(chance, ("1700000000", "0", "-1", "1e300", "'x'", "9" * 30, "nan"))
    return insert(pick(chance, UUIDS), table, ddl_statement(chance), *strategy(chance), time)


def insert(
    uuid: str, table: str, sql: str, name: str, options: str, time: str = "1700000000"
) -> str:
    """Return a submission as an old client of VExec writes it."""
    values = (uuid, "shop", "0", "shop", table, sql, name, options)
    quoted = "', '".join(value.replace("\\", "\\\\").replace("'", "''") for value in values)
    return (
        "INSERT IGNORE INTO _vt.schema_migrations (migration_uuid, keyspace, shard, mysql_schema, "
        "mysql_table, migration_statement, strategy, options, requested_timestamp, "
        f"migration_status) VALUES ('{quoted}', FROM_UNIXTIME({time}), 'queued')"
    )


def ddl_statement(chance: random.Random) -> str:
    """Draw DDL, or what looks like it."""
    if often(chance, 25):
        verb = pick(chance, ("alter table", "create table", "drop table", "truncate", "drop view"))
        name = pick(chance, ("t", "`shop`.t", "secret.kept", '"t"', "``", pick(chance, HOSTILE)))
        rest = pick(chance, ("add x int", "drop column note", "(id int)", "engine=innodb", ""))
        text = f"{verb} {name} {rest}"
    else:
        text = pick(chance, _DDL)
    text = _spaced(chance, text) if often(chance, 30) else text
    return mutated(chance, text, _DDL) if often(chance, 50) else text


def strategy(chance: random.Random) -> tuple[str, str]:
    """Draw a strategy and its options."""
    name, _, options = pick(chance, _FLAGS).partition(" ")
    if often(chance, 40):
        further = pick(chance, _FLAGS).partition(" ")[2]
        options = f"{options} {further}"
    if often(chance, 50):
        options = mutated(chance, options, _FLAGS)
    if often(chance, 10):
        name = mutated(chance, name)
    return name, options


def command(chance: random.Random) -> str:
    """Draw a statement about migrations, or what looks like it."""
    text = pick(chance, _COMMANDS)
    if often(chance, 20):
        text = f"show vitess_migrations where {_expression(chance)}{pick(chance, _TAILS)}"
    if often(chance, 40):
        text = text.replace(UUIDS[0], pick(chance, UUIDS))
    text = _spaced(chance, text) if often(chance, 30) else text
    return mutated(chance, text, _COMMANDS) if often(chance, 50) else text


@dataclass(frozen=True)
class Settings:
    """Where a configuration is read from.

    Attributes:
        toml: the file's bytes.
        environment: variables.
        flags: by key.
        topology: the bytes of the file that `topology_file` names.
    """

    toml: bytes
    environment: dict[str, str]
    flags: dict[str, str]
    topology: bytes


_VALUES: Final = (
    *("1s", "0", "250ms", "true", "1", "", "-1s", "nan", "1e400", "9" * 5000, "1h" * 500, "d"),
    *("zone1-1", "127.0.0.1:1", "[::1]:2", "a,b,,c", "0.0.0.0", "mtls", "static", "drop", "hold,x"),
    *("/", "/dev/null", "/nowhere", ".", "\udcff", *(text for text in HOSTILE if "\0" not in text)),
)
_LITERALS: Final = (
    *("1", "-1", "1.5", "nan", "inf", "1e308", "true", "[]", "{}", "[1, [2, [3]]]", '["a", 1]'),
    *('""', '"1s"', '"\\u0000"', '"\\u0000x"', "'/x'", "1979-05-27", "07:32:00", "0x10", "{a = 1}"),
    *("9" * 400, "9" * 5000, "[" * 3000, "{a = " * 500, "'''\n'''", '"zone1-9999999999"'),
)


def settings(chance: random.Random) -> Settings:
    """Draw a configuration: a file, variables and flags."""
    toml = pick(chance, _CONFIG)
    for _ in range(chance.randrange(3)):
        toml = f"{pick(chance, KEYS)} = {pick(chance, _LITERALS)}\n{toml}"
    toml = mutated(chance, toml, _CONFIG) if often(chance, 30) else toml
    data = toml.encode()
    environment = {
        f"TABLETD_{pick(chance, KEYS).upper()}": pick(chance, _VALUES)
        for _ in range(chance.randrange(3))
    }
    flags = [key for key in KEYS if key not in SECRETS]
    topology = pick(chance, _TOPOLOGY)
    if often(chance, 50):
        topology = f"x = {pick(chance, _LITERALS)}\n" + mutated(chance, topology, _TOPOLOGY)
    return Settings(
        toml=_broken_utf8(chance, data) if often(chance, 3) else data,
        environment=environment,
        flags={pick(chance, flags): pick(chance, _VALUES) for _ in range(chance.randrange(3))},
        topology=topology.encode(),
    )


def _broken_utf8(chance: random.Random, data: bytes) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + pick(chance, (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\0")) + data[place:]
