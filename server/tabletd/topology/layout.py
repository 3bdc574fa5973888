"""Which cells, keyspaces, shards and tablets there are, as an operator has written it down."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tabletd.errors import Reason, TabletdError

_ALIAS: Final = re.compile(r"(?P<cell>[A-Za-z0-9_]+)-(?P<uid>\d{1,10})")
_Port = Annotated[int, Field(ge=1, le=65535)]


def alias_text(cell: str, uid: int) -> str:
    """Return an alias as Vitess prints it, `zone1-0000000100`."""
    return f"{cell}-{uid:010d}"


@dataclass(frozen=True, slots=True)
class TabletPlace:
    """One tablet: what it belongs to and where it is reached.

    Attributes:
        cell: its site.
        uid: its number within the cell.
        keyspace: what it belongs to.
        shard: what it belongs to.
        host: where its daemon listens.
        grpc_port: of its daemon.
        http_port: of its daemon.
        mysql_host: where its server listens; empty: not known.
        mysql_port: of its server; 0: not known.
        database: the schema of the keyspace on its server; empty: named like the keyspace.
    """

    cell: str
    uid: int
    keyspace: str
    shard: str
    host: str
    grpc_port: int
    http_port: int = 0
    mysql_host: str = ""
    mysql_port: int = 0
    database: str = ""

    @property
    def alias(self) -> str:
        """Its unique name."""
        return alias_text(self.cell, self.uid)

    @property
    def grpc_address(self) -> str:
        """`host:port` of its gRPC port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.grpc_port}"


@dataclass(frozen=True)
class Layout:
    """All tablets, and through them the cells, keyspaces and shards.

    Attributes:
        tablets: in the order of their aliases.
        source: where this was found, for people.
    """

    tablets: tuple[TabletPlace, ...]
    source: str = field(default="", compare=False)

    @property
    def cells(self) -> tuple[str, ...]:
        """The names of the cells, sorted."""
        return tuple(sorted({tablet.cell for tablet in self.tablets}))

    @property
    def keyspaces(self) -> tuple[str, ...]:
        """The names of the keyspaces, sorted."""
        return tuple(sorted({tablet.keyspace for tablet in self.tablets}))

    def shards(self, keyspace: str) -> tuple[str, ...]:
        """Return the shards of a keyspace in the order of their key ranges.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        found = {tablet.shard for tablet in self.tablets if tablet.keyspace == keyspace}
        if not found:
            raise _unknown("keyspace", keyspace, self.keyspaces)
        return tuple(sorted(found, key=lambda shard: (shard.partition("-")[0], shard)))

    def shard_tablets(self, keyspace: str, shard: str) -> tuple[TabletPlace, ...]:
        """Return the tablets of a shard.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        shards = self.shards(keyspace)
        if shard not in shards:
            raise _unknown(f"shard of {keyspace}", shard, shards)
        return tuple(
            tablet
            for tablet in self.tablets
            if (tablet.keyspace, tablet.shard) == (keyspace, shard)
        )

    def neighbours(self, keyspace: str, shard: str, alias: str) -> tuple[TabletPlace, ...]:
        """Return the other tablets of a tablet's shard; none where the shard is not known."""
        return tuple(
            tablet
            for tablet in self.tablets
            if (tablet.keyspace, tablet.shard) == (keyspace, shard) and tablet.alias != alias
        )

    def tablet(self, alias: str) -> TabletPlace:
        """Return the tablet of an alias, its uid with ten digits.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        for tablet in self.tablets:
            if tablet.alias == alias:
                return tablet
        raise _unknown("tablet", alias, [tablet.alias for tablet in self.tablets])

    def check_cell(self, cell: str) -> None:
        """Refuse a cell without tablets.

        Raises:
            TabletdError: TOPOLOGY_NOT_FOUND.
        """
        if cell not in self.cells:
            raise _unknown("cell", cell, self.cells)


class _TabletEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    alias: str
    keyspace: Annotated[str, Field(min_length=1)]
    shard: Annotated[str, Field(min_length=1)] = "0"
    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    grpc_port: _Port = 16100
    http_port: _Port = 15100
    mysql_host: str = ""
    mysql_port: Annotated[int, Field(ge=0, le=65535)] = 3306
    database: str = ""

    def place(self) -> TabletPlace:
        match = _ALIAS.fullmatch(self.alias)
        if match is None:
            raise ValueError(f"{self.alias!r} is no tablet alias such as zone1-0000000100")
        fields = self.model_dump(exclude={"alias"})
        fields["mysql_host"] = self.mysql_host or self.host
        return TabletPlace(cell=match["cell"], uid=int(match["uid"]), **fields)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tablets: Annotated[tuple[_TabletEntry, ...], Field(min_length=1)]


def read_layout(path: Path) -> Layout:
    """Read a topology file: TOML with one `[[tablets]]` for each tablet.

    A tablet has `alias`, `keyspace`, `shard` ("0"), `host` (127.0.0.1), `grpc_port` (16100),
    `http_port` (15100), `mysql_host` (as host), `mysql_port` (3306) and `database` (as keyspace).

    Raises:
        TabletdError: INVALID_CONFIG, naming the file and what is wrong in it.
    """
    try:
        entries = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).tablets
        places = sorted((entry.place() for entry in entries), key=lambda place: place.alias)
        _refuse_twins(places)
    except OSError as error:
        raise _invalid(path, f"cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _invalid(path, f"{where}: {first['msg']}") from None
    except RecursionError:
        raise _invalid(path, "nested too deeply") from None
    except ValueError as error:  # also what is no TOML or no UTF-8
        raise _invalid(path, str(error)) from None
    return Layout(tuple(places), str(path))


def _refuse_twins(places: list[TabletPlace]) -> None:
    for what in ("alias", "grpc_address"):
        seen: set[str] = set()
        for place in places:
            name: str = getattr(place, what)
            if name in seen:
                raise ValueError(f"two tablets have the {what.replace('_', ' ')} {name}")
            seen.add(name)


def _invalid(path: Path, problem: str) -> TabletdError:
    return TabletdError(
        Reason.INVALID_CONFIG,
        f"topology_file {path}: {problem}",
        hint="one [[tablets]] for each tablet, with alias, keyspace, shard, host and grpc_port",
        path=str(path),
    )


def _unknown(what: str, name: str, known: tuple[str, ...] | list[str]) -> TabletdError:
    shown = ", ".join(known[:20])
    return TabletdError(
        Reason.TOPOLOGY_NOT_FOUND,
        f"there is no {what} {name!r}",
        hint=f"known: {shown}" if shown else None,
        wanted=name,
    )
