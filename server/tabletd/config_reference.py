"""The reference of all settings: what `tabletd config reference` prints, and a page of docs/.

All of it is read off `Config`; only the groups are said here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from tabletd.config import ENVIRONMENT_PREFIX, KEYS, RELOADABLE, SECRETS, Config
from tabletd.config_access import AccessConfig
from tabletd.config_values import Kind, Why, format_duration

# Title and settings, by name or by pattern; the first group that knows a setting has it.
GROUPS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    ("This tablet", ("tablet_alias", "tablet_type", "keyspace", "shard")),
    ("The MySQL or MariaDB server", ("mysql_*",)),
    ("Ports", ("*_bind", "grpc_port", "http_port", "callback_address")),
    ("Limits", ("grpc_*_max", "grpc_*_per_*", "queued_migrations_max")),
    (
        "Lag and health",
        ("replication_*", "heartbeat_*", "health_*", "degraded_*", "unhealthy_*", "serving_*"),
    ),
    ("Two daemons on one server", ("lease_*",)),
    (
        "Migrations",
        (
            "allowed_schemas",
            "migration_check_interval",
            "*_concurrent_*",
            "enable_online_ddl",
            "default_online_strategy",
            "stale_migration_minutes",
            "probe_*",
            "verify*",
        ),
    ),
    ("Tools and their directories", ("*_path", "run_directory", "migration_*", "*_cutover")),
    ("What is kept after a migration", ("retain_artifacts", "*gc_*", "log_retention")),
    ("Throttling", ("throttle_*",)),
    ("Other tablets", ("replicas*", "primary_sql", "topology_file")),
    ("Calls to other daemons", ("tablet_manager_*", "grpc_auth_static_client_creds")),
    ("Who may call", ("grpc_*", "insecure_listen", "http_open_pages", "audit_log")),
    ("Log and end", ("log_*", "on_stop", "shutdown_grace")),
)
_TEXT_WIDTH: Final = 96
_TABLE_HEAD: Final = (
    "| setting | value | default | SIGHUP | what it is |",
    "| --- | --- | --- | --- | --- |",
)
_INTRODUCTION: Final = """\
# Configuration

Every setting of `tabletd serve`. This page is what `tabletd config reference --format markdown`
prints, made from the settings themselves; without `--format` the same comes as text.

A flag comes before an environment variable, that before the TOML file (`--config`, or
`TABLETD_CONFIG`), that before the default. The name of a setting is its key in the file; its flag
and its variable stand below it. `tabletd config check` says whether all of them are valid,
`tabletd config show` where each value comes from, `tabletd doctor` whether the machine and the
server are fit for them.

A **duration** is `250ms`, `10s`, `1h30m`, or a number of seconds. A **list** is a TOML list, or
text with commas between. A **switch** is true or false, and has two flags. Secrets have no flag:
everybody on a machine can read the arguments of a process.

**SIGHUP** says whether the daemon takes a changed value over when it gets that signal; all others
need a [restart](restart.md), which interrupts no migration. The files with passwords, certificates
and keys that settings name are read again by themselves when they change.
"""


@dataclass(frozen=True)
class Setting:
    """What is said of one setting.

    Attributes:
        key: its name in the TOML file.
        flags: of `tabletd serve`; none for a secret.
        variable: in the environment.
        kind: form or unit of a value.
        default: as the file would have it; empty: there is none.
        is_required: it must be given.
        is_reloadable: SIGHUP changes it.
        meaning: what it is.
        why: why there is the setting, or why its default is what it is.
    """

    key: str
    flags: tuple[str, ...]
    variable: str
    kind: str
    default: str
    is_required: bool
    is_reloadable: bool
    meaning: str
    why: str


def settings(group: int) -> list[Setting]:
    """Return the settings of one of the `GROUPS`, in the order in which they are defined."""
    return [_setting(key) for key in KEYS if _group(key) == group]


def flag_names(key: str) -> tuple[str, ...]:
    """Return the flags of a setting: first that which is shown, then other spellings."""
    flag = f"--{key.replace('_', '-')}"
    # As Vitess has written those of access for long.
    spellings = (flag, f"--{key}") if key in AccessConfig.model_fields else (flag,)
    if Config.model_fields[key].annotation is bool:
        return tuple(f"{name}/--no-{name[2:]}" for name in spellings)
    return spellings


def as_text() -> str:
    """Return the reference for a terminal."""
    return "\n".join(_text_lines()) + "\n"


def as_markdown() -> str:
    """Return the reference as the page docs/configuration.md."""
    return "\n".join([_INTRODUCTION, *_markdown_lines()])


def _text_lines() -> Iterator[str]:
    for number, (title, _) in enumerate(GROUPS):
        yield from ("" * bool(number), title, "-" * len(title))
        for setting in settings(number):
            yield f"{setting.key}: {setting.kind} [{_default_words(setting)}]"
            reload = "; taken over on SIGHUP" if setting.is_reloadable else ""
            yield f"    {', '.join(_shown_names(setting))}{reload}"
            yield textwrap.indent(textwrap.fill(_meaning(setting), _TEXT_WIDTH), "    ")


def _markdown_lines() -> Iterator[str]:
    for number, (title, _) in enumerate(GROUPS):
        yield from (f"## {title}", "", *_TABLE_HEAD)
        for setting in settings(number):
            names = [f"`{name}`" for name in _shown_names(setting)]
            cells = (
                "<br>".join([f"**{setting.key}**", *names]),
                setting.kind.replace("|", "\\|"),
                f"`{setting.default}`" if setting.default else _default_words(setting),
                "yes" if setting.is_reloadable else "",
                _meaning(setting),
            )
            yield f"| {' | '.join(cells)} |"
        yield ""


def _shown_names(setting: Setting) -> tuple[str, ...]:
    return (*setting.flags[:1], setting.variable)


def _meaning(setting: Setting) -> str:
    if not setting.why:
        return setting.meaning
    return f"{setting.meaning} Why: {setting.why}."


def _default_words(setting: Setting) -> str:
    if setting.is_required:
        return "required"
    return setting.default or "none"


def _group(key: str) -> int | None:
    for number, (_, patterns) in enumerate(GROUPS):
        if any(fnmatchcase(key, pattern) for pattern in patterns):
            return number
    return None


def _setting(key: str) -> Setting:
    field = Config.model_fields[key]
    whys = [mark.text for mark in field.metadata if isinstance(mark, Why)]
    return Setting(
        key=key,
        flags=() if key in SECRETS else flag_names(key),
        variable=f"{ENVIRONMENT_PREFIX}{key.upper()}",
        kind=_kind(field),
        default=default_text(field),
        is_required=field.is_required(),
        is_reloadable=key in RELOADABLE,
        meaning=field.description or "",
        why=whys[0] if whys else "",
    )


def default_text(field: FieldInfo) -> str:
    """Return the default of a setting as the file takes it; empty where nothing is set."""
    default: Any = None if field.is_required() else field.default
    if default is None or default in ("", ()):
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        return format_duration(default)
    if isinstance(default, tuple):
        return ",".join(str(part) for part in default)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(default)


def _kind(field: FieldInfo) -> str:
    annotation, marks = _without_none(field)
    if get_origin(annotation) is Literal:
        return " | ".join(choice for choice in get_args(annotation) if choice)
    named = [mark.name for mark in marks if isinstance(mark, Kind)]
    known = {bool: "switch", str: "text", Path: "path", SecretStr: "text, secret"}
    # A mark of the setting itself says more than that of its type.
    return (named[-1] if named else known[annotation]) + _bounds(annotation, marks)


def _bounds(annotation: Any, marks: Sequence[object]) -> str:
    """Return what a number must lie between, where that is no matter of course."""
    least = [found for mark in marks if (found := getattr(mark, "ge", None))]
    most = [found for mark in marks if (found := getattr(mark, "le", None))]
    if not least:
        return ""
    write = format_duration if annotation is float else str
    return (
        f", {write(least[-1])} to {write(most[-1])}" if most else f", at least {write(least[-1])}"
    )


def _without_none(field: FieldInfo) -> tuple[Any, Sequence[object]]:
    """Return the type of what is given, and its marks: those of `X | None` are at X."""
    parts: Sequence[Any] = get_args(field.annotation)
    if type(None) not in parts:
        return field.annotation, field.metadata
    part = next(part for part in parts if part is not type(None))
    if get_origin(part) is Annotated:
        kind, *marks = get_args(part)
        return kind, [*marks, *field.metadata]
    return part, field.metadata
