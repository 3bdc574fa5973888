"""The table of faults: what each is, how it begins and ends, and how a migration may end."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.faults import acts
from tests.faults.acts import Act
from tests.faults.disks import why_no_disks
from tests.faults.faketime import why_no_faketime
from tests.faults.phases import AT_WORK, BEFORE_THE_RUN, EVERY_PHASE, Phase
from tests.faults.programs import Misbehaviour
from tests.faults.proxy import Trouble
from tests.faults.stage import DISKS, Need


class Family(StrEnum):
    """What faults have in common."""

    SIGNAL = "signal"
    CONNECTION = "connection"
    ROLE = "role"
    DISK = "disk"
    PROGRAM = "program"
    CLOCK = "clock"
    RIVAL = "rival"
    TABLES = "tables"


class Target(StrEnum):
    """Who is hurt."""

    DAEMON = "daemon"
    TOOL = "tool"
    WRAPPER = "wrapper"
    SERVER = "server"
    REPLICA = "replica"
    DAEMON_SERVER = "daemon-server"
    TOOL_SERVER = "tool-server"
    REPLICA_PRIMARY = "replica-primary"
    HOOK_DAEMON = "hook-daemon"
    CLIENT_DAEMON = "client-daemon"
    SIDECAR = "_vt"


GONE: Final = "gone"
_BOTH_SERVERS: Final = frozenset({Target.SERVER, Target.REPLICA, Target.REPLICA_PRIMARY})
# A tool goes on without them.
_NOT_NEEDED: Final = frozenset({Target.DAEMON, Target.REPLICA})
_SURVIVES: Final = frozenset({"complete"})
_MAY_FAIL: Final = frozenset({"complete", "failed"})
_STOP_SECONDS: Final = (5.0, 40.0)
_BREAK_SECONDS: Final = (2.0, 15.0)
# What a message calls a server that was away, a connection that was lost, a disk without room.
_AWAY: Final = r"(?i)connection|connect to|gone away|shutdown|\bEOF\b|i/o timeout|away"
_FULL: Final = (
    r"(?i)no space left|disk (?:is )?full|is full|errno(?:: | )28\b|write (?:error|failed)"
)
_SIGNALS: Final = (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of fault.

    Attributes:
        name: unique.
        family: see `Family`.
        target: see `Target`.
        begin: how it begins.
        end: how it ends.
        lasts_seconds: the shortest and the longest time from beginning to end.
        phases: when it may begin.
        ends: the states that the migration may end in; `gone`: its row was taken away.
        words: what the message says where it fails, as a regular expression; empty: it may not.
        needs: what the stage must have.
        keeps_run: the run of the tool goes on, and none is begun anew.
    """

    name: str
    family: Family
    target: Target
    begin: Act
    end: Act = acts.nothing
    lasts_seconds: tuple[float, float] = (0.0, 0.0)
    phases: tuple[Phase, ...] = EVERY_PHASE
    ends: frozenset[str] = _SURVIVES
    words: str = ""
    needs: frozenset[Need] = frozenset()
    keeps_run: bool = False

    @property
    def why_not(self) -> str:
        """Why it cannot be had on this machine; empty when it can."""
        if self.needs & DISKS and (reason := why_no_disks()):
            return reason
        return why_no_faketime() if Need.CLOCK in self.needs else ""


def may_join(first: Kind, second: Kind) -> bool:
    """Say whether two faults may be had at once: they neither hurt the same nor undo each other."""
    if first.target is second.target or first.family is second.family:
        return False
    if second.family is Family.ROLE:
        return may_join(second, first)
    # A change of roles needs both servers, and the way between them.
    return first.family is not Family.ROLE or second.target not in _BOTH_SERVERS


def _signal_kinds() -> list[Kind]:
    kinds: list[Kind] = []
    for number in _SIGNALS:
        name = number.name.removeprefix("SIG").lower()
        stops = number is signal.SIGSTOP
        lasts = _STOP_SECONDS if stops else (0.0, 5.0)
        ends = _SURVIVES if stops else _MAY_FAIL
        ways = (
            (Target.DAEMON, acts.signal_daemon, acts.daemon_goes_on, EVERY_PHASE, _SURVIVES, ""),
            (Target.TOOL, acts.signal_tool, acts.tools_go_on, AT_WORK, ends, "signal|SIG|ended"),
            (Target.WRAPPER, acts.signal_wrapper, acts.tools_go_on, AT_WORK, ends, "wrapper"),
            (Target.SERVER, acts.signal_server, acts.servers_go_on, EVERY_PHASE, _MAY_FAIL, _AWAY),
            (Target.REPLICA, acts.signal_replica, acts.servers_go_on, EVERY_PHASE, _SURVIVES, ""),
        )
        kinds += [
            Kind(
                f"{target}-{name}",
                Family.SIGNAL,
                target,
                begin(number),
                end,
                lasts,
                phases,
                possible,
                words if "failed" in possible else "",
                keeps_run=target in _NOT_NEEDED or (stops and target is not Target.SERVER),
            )
            for target, begin, end, phases, possible, words in ways
        ]
    return kinds


def _connection_kinds() -> list[Kind]:
    kinds: list[Kind] = []
    for way in (
        Target.DAEMON_SERVER,
        Target.TOOL_SERVER,
        Target.REPLICA_PRIMARY,
        Target.HOOK_DAEMON,
        Target.CLIENT_DAEMON,
    ):
        for trouble in Trouble:
            begin, end = acts.trouble(way, trouble)
            is_tools = way is Target.TOOL_SERVER
            kinds.append(
                Kind(
                    f"{way}-{trouble}",
                    Family.CONNECTION,
                    way,
                    begin,
                    end,
                    (0.0, 0.0) if trouble is Trouble.RESET else _BREAK_SECONDS,
                    AT_WORK if is_tools else EVERY_PHASE,
                    _MAY_FAIL if is_tools else _SURVIVES,
                    _AWAY if is_tools else "",
                    keeps_run=not is_tools,
                )
            )
    kill = acts.kill_connections
    kinds.append(
        Kind(
            "connections-killed",
            Family.CONNECTION,
            Target.SERVER,
            kill,
            kill,
            (1.0, 5.0),
            ends=_MAY_FAIL,
            words=_AWAY,
        )
    )
    return kinds


def _disk_kinds() -> list[Kind]:
    return [
        Kind(
            f"{disk}-disk-full",
            Family.DISK,
            target,
            acts.fill(disk),
            acts.relieve,
            (3.0, 15.0),
            ends=_MAY_FAIL,
            words=_FULL,
            needs=frozenset({disk}),
        )
        for disk, target in (
            (Need.DATA_DISK, Target.SERVER),
            (Need.LOG_DISK, Target.TOOL),
            (Need.TMP_DISK, Target.SERVER),
        )
    ]


def _program_kinds() -> list[Kind]:
    return [
        Kind(
            f"program-{misbehaviour}",
            Family.PROGRAM,
            Target.TOOL,
            acts.replace_program(misbehaviour),
            acts.restore_and_cancel if misbehaviour is Misbehaviour.HANGS else acts.restore_program,
            (8.0, 20.0),
            BEFORE_THE_RUN,
            frozenset({"complete", "failed", "cancelled"})
            if misbehaviour is Misbehaviour.HANGS
            else _MAY_FAIL,
            "ended with|signal",
        )
        for misbehaviour in Misbehaviour
    ]


def _table_kinds() -> list[Kind]:
    queue = "_vt.schema_migrations"
    lost = frozenset({*_MAY_FAIL, GONE})
    touches = (
        ("queue-dropped", f"DROP TABLE {queue}", lost),
        ("sidecar-dropped", "DROP DATABASE _vt", lost),
        ("heartbeat-dropped", "DROP TABLE _vt.heartbeat", _SURVIVES),
        ("queue-column-dropped", f"ALTER TABLE {queue} DROP COLUMN stage", _MAY_FAIL),
        ("queue-key-dropped", f"ALTER TABLE {queue} DROP KEY uuid_idx", _SURVIVES),
    )
    return [
        Kind(
            name,
            Family.TABLES,
            Target.SIDECAR,
            acts.run_on_primary(statement),
            ends=possible,
            words="_vt|schema_migrations|column" if "failed" in possible else "",
            keeps_run=possible is _SURVIVES,
        )
        for name, statement, possible in touches
    ]


KINDS: Final = (
    *_signal_kinds(),
    *_connection_kinds(),
    Kind(
        "read-only",
        Family.ROLE,
        Target.SERVER,
        acts.set_read_only,
        acts.unset_read_only,
        (2.0, 12.0),
    ),
    Kind("role-change", Family.ROLE, Target.SERVER, acts.change_roles),
    Kind(
        "replication-stopped",
        Family.ROLE,
        Target.REPLICA,
        acts.stop_replication,
        acts.start_replication,
        (3.0, 15.0),
        keeps_run=True,
    ),
    *_disk_kinds(),
    *_program_kinds(),
    Kind(
        "clock-set-back",
        Family.CLOCK,
        Target.SERVER,
        acts.set_clock_back,
        # Programs look at their clock's offset once a second.
        lasts_seconds=(2.0, 6.0),
        needs=frozenset({Need.CLOCK}),
    ),
    Kind(
        "second-daemon",
        Family.RIVAL,
        Target.DAEMON,
        acts.start_rival,
        acts.stop_rival,
        (5.0, 20.0),
        keeps_run=True,
    ),
    *_table_kinds(),
)


def kind_named(name: str) -> Kind:
    """Return the kind of a name.

    Raises:
        LookupError: there is none; the text names all that there are.
    """
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise LookupError(f"no kind {name!r}; there are: {', '.join(kind.name for kind in KINDS)}")
