"""The settings of the daemon: validated once, frozen, and each one knows where it came from.

Flags come before `TABLETD_*` variables, these before the TOML file, these before the defaults. A
key that does not exist, or a value of the wrong kind, is refused with the name of the key, the
source it was found in and the nearest key that does exist. Passwords are taken from the
environment, the TOML file or a file of their own, never from a flag, and are never shown.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import (
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails

from tabletd.config_access import AccessConfig
from tabletd.config_limits import LimitsConfig
from tabletd.config_migrations import MigrationConfig
from tabletd.config_mysql import (
    DEFAULTS_FILE,
    MySQLConfig,
    password_of_defaults_file,
    settings_of_defaults_file,
)
from tabletd.config_values import (
    Address,
    Addresses,
    Alias,
    Names,
    NotNegative,
    Port,
    Positive,
    Reloadable,
    Why,
    format_duration,
)
from tabletd.errors import Reason, TabletdError
from tabletd.private_files import check_private, read_secret

ENVIRONMENT_PREFIX: Final = "TABLETD_"
CONFIG_PATH_VARIABLE: Final = "TABLETD_CONFIG"


class Config(MySQLConfig, MigrationConfig, LimitsConfig, AccessConfig):
    """Every setting of `tabletd serve`; the description of each is its help text."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )

    tablet_alias: Annotated[
        Alias, Why("the name by which Vitess's tools, streams and rows know a tablet")
    ] = Field(description="Name of this tablet, cell-uid (zone1-0000000100); unique in the shard.")
    keyspace: Annotated[str, Why("callers name it, and a call for another keyspace is refused")] = (
        Field(min_length=1, description="Keyspace that this server belongs to.")
    )
    shard: Annotated[
        str, Why("Vitess's name for the only shard of a keyspace that is not sharded")
    ] = Field("0", min_length=1, description="Shard of the keyspace.")
    tablet_type: Annotated[
        Literal["auto", "primary", "replica"],
        Why("the role changes with a fail-over, and is followed"),
    ] = Field(
        "auto", description="Role of the server; auto finds it from read_only and replication."
    )

    allowed_schemas: Annotated[
        Names, Why("what belongs to others on the server must not be altered by mistake")
    ] = Field(
        (), description="Schemas that migrations may name, comma-separated; default: our own."
    )

    grpc_bind: Annotated[
        str, Why("nobody but this machine reaches it before credentials are configured")
    ] = Field("127.0.0.1", description="Address of the gRPC port.")
    grpc_port: Annotated[Port, Why("the port of the first tablet in Vitess's examples")] = Field(
        16100, description="gRPC port; 0 takes a free one."
    )
    http_bind: Annotated[
        str, Why("nobody but this machine reaches it before credentials are configured")
    ] = Field("127.0.0.1", description="Address of the HTTP port.")
    http_port: Annotated[Port, Why("the port of the first tablet in Vitess's examples")] = Field(
        15100,
        description="HTTP port; 0 takes a free one, where tools do not find the next daemon.",
    )

    callback_address: Annotated[
        Address | None, Why("behind a container's or a proxy's port the own address leads nowhere")
    ] = Field(
        None,
        description="Where tools reach the HTTP port (host:port), if it is forwarded; default: "
        "http_bind and http_port.",
    )

    replication_tracker_mode: Annotated[
        Literal["heartbeat", "polling", "disable"], Why("only heartbeats tell lag in milliseconds")
    ] = Field("heartbeat", description="How lag is measured.")
    heartbeat_interval: Annotated[
        NotNegative, Why("Vitess's; 250ms shows lag sooner, for 1 % of a core")
    ] = Field(1.0, description="Period of heartbeat writes and reads (0: 250ms, at most 1s).")
    heartbeat_writes: Annotated[
        Literal["always", "on_demand", "off"], Why("lag is known at once, whoever asks")
    ] = Field(
        "always",
        description="When a primary writes heartbeats; on_demand: while somebody asks for lag.",
    )
    heartbeat_lease: Annotated[
        Positive, Why("outlasts the pauses between the questions of a migration that is throttled")
    ] = Field(
        10.0,
        description="How long heartbeats on demand go on after the last question.",
    )
    health_check_interval: Annotated[
        Positive, Why("Vitess's; changes are told at once whatever it is")
    ] = Field(20.0, description="Longest time between two health broadcasts.")
    degraded_threshold: Annotated[Positive, Why("Vitess's")] = Field(
        30.0, description="Lag above this is shown as degraded."
    )
    unhealthy_threshold: Annotated[
        Positive, Why("Vitess's, since a late replica is mostly better than none")
    ] = Field(7200.0, description="Lag above this is not serving.")
    replication_stopped_grace: Annotated[
        NotNegative, Why("a restart of replication by an operator is no outage")
    ] = Field(30.0, description="Stopped replication makes a replica not serving after this.")
    serving_state_grace_period: Annotated[
        NotNegative, Why("Vitess's, since a former primary may be behind at once")
    ] = Field(0.0, description="How long the former type is still accepted after a change.")

    lease_duration: Annotated[
        Positive,
        Field(ge=1, le=3600),
        Why("renewed four times in its length, so that one slow renewal loses nothing"),
    ] = Field(
        10.0,
        description="How long a daemon that fell silent keeps another one on its server waiting.",
    )

    throttle_threshold: Annotated[Positive, Reloadable(), Why("Vitess's")] = Field(
        5.0, description="Replica lag above this throttles migrations."
    )
    throttle_pacing: Annotated[
        bool, Reloadable(), Why("the plain on and off overshoots to twice the threshold")
    ] = Field(True, description="Slow migrations down before lag reaches its threshold.")
    throttle_unknown_replica: Annotated[
        NotNegative,
        Reloadable(),
        Why("a restart must not let a migration run blind, a dead host not stop it for ever"),
    ] = Field(300.0, description="How long a replica without data holds migrations back.")
    replicas: Annotated[
        Addresses, Why("their daemons know their lag to the millisecond, and tell it as it changes")
    ] = Field(
        (),
        description="gRPC addresses (host:port) of the replicas' daemons, comma-separated; "
        "default: those of topology_file.",
    )
    replicas_sql: Annotated[
        Addresses, Why("a replica without a daemon must not be left behind either")
    ] = Field(
        (), description="MySQL addresses (host:port) of replicas without a daemon, comma-separated."
    )
    primary_sql: Annotated[
        Address | None, Why("nobody writes heartbeats there that a replica could read")
    ] = Field(
        None,
        description="MySQL address (host:port) of the shard's primary where it has no daemon: lag "
        "is measured by its GTID position then.",
    )
    topology_file: Annotated[
        Path | None,
        Reloadable(),
        Why("one file for all daemons spares a list in each of their configurations"),
    ] = Field(
        None,
        description="TOML file with every tablet of the cluster; default: this tablet alone.",
    )

    log_format: Annotated[
        Literal["json", "plain"], Why("people read it first; json for whoever collects it")
    ] = Field("plain", description="Form of the log lines.")
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Reloadable(),
        Why("it tells each change of state, and little else"),
    ] = Field("info", description="Least level that is logged.")
    on_stop: Annotated[
        Literal["detach", "cancel", "wait"],
        Reloadable(),
        Why("an upgrade must not begin the copy of a day anew"),
    ] = Field(
        "detach",
        description="Running tools when the daemon is stopped: they go on and the next daemon takes"
        " them over, or they are ended and their migrations queued again, or they are waited for.",
    )
    shutdown_grace: Annotated[NotNegative, Why("far below the 90 s after which systemd kills")] = (
        Field(10.0, description="Time that running calls get to finish at the end.")
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {
            key: value
            for key, value in values.items()
            if value != "" or cls.model_fields[key].default is not None
        }

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        for name in SECRETS:
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                raise ValueError(f"{name} and {name}_file are both set; keep one")
        unknown = set(self.table_gc_lifecycle) - {"hold", "purge", "evac", "drop"}
        if unknown:
            raise ValueError(f"table_gc_lifecycle: {min(unknown)!r} is no step of the life cycle")
        return self

    @field_serializer("mysql_password", "mysql_app_password", "migration_password")
    def _hide(self, value: SecretStr | None) -> str | None:
        return None if value is None else "(hidden)"

    @property
    def database(self) -> str:
        """The schema of the keyspace."""
        return self.mysql_database or self.keyspace

    def secret(self, name: str) -> str:
        """Return a password, from its file when one is configured; empty when there is none.

        Raises:
            TabletdError: INVALID_CONFIG, the file cannot be read, or others may read it.
        """
        value = cast(SecretStr | None, getattr(self, name))
        path = cast(Path | None, getattr(self, f"{name}_file"))
        if path is not None:
            return read_secret(path, f"{name}_file")
        if value is not None:
            return value.get_secret_value()
        if name == "mysql_password" and self.mysql_defaults_file is not None:
            return password_of_defaults_file(self.mysql_defaults_file)
        return ""


SECRETS: Final = ("mysql_password", "mysql_app_password", "migration_password")
# In the order of the help: what everybody needs comes first.
KEYS: Final = tuple(
    sorted(
        Config.model_fields,
        key=lambda key: (
            key in AccessConfig.model_fields,
            key in MigrationConfig.model_fields,
            not Config.model_fields[key].is_required(),
        ),
    )
)
RELOADABLE: Final = frozenset(
    name
    for name, field in Config.model_fields.items()
    if any(isinstance(mark, Reloadable) for mark in field.metadata)
)


@dataclass(frozen=True)
class LoadedConfig:
    """A valid configuration and where each of its values was found.

    Attributes:
        config: the settings.
        sources: for each key that was given, the flag, variable or file it came from.
        path: the TOML file; None: there is none.
    """

    config: Config
    sources: Mapping[str, str]
    path: Path | None = None


def load_config(
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    path: Path | None = None,
) -> LoadedConfig:
    """Merge and validate the settings.

    Args:
        flags: values by key, only those given.
        environment: usually `os.environ`.
        path: the TOML file; default: what `TABLETD_CONFIG` names.

    Raises:
        TabletdError: INVALID_CONFIG, naming every wrong key and its source.
    """
    if path is None and environment.get(CONFIG_PATH_VARIABLE):
        path = Path(environment[CONFIG_PATH_VARIABLE])
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    layers = [
        *([(str(path), _read_toml(path))] if path is not None else []),
        ("environment", _read_environment(environment)),
        ("flag", dict(flags)),
    ]
    wrong: list[str] = []
    for source, layer in layers:
        for key, value in layer.items():
            shown = _shown_key(source, key)
            if key not in Config.model_fields:
                wrong.append(_unknown_key_text(shown, source, key))
                continue
            if isinstance(value, str) and "\0" in value:  # the system takes it in no path or name
                wrong.append(f"{source}: {shown}: the text holds a NUL character")
                continue
            values[key] = value
            sources[key] = shown if source in {"environment", "flag"} else source
    if wrong:
        raise _invalid(wrong)
    for key, value in settings_of_defaults_file(values).items():
        values[key] = value
        sources[key] = str(values[DEFAULTS_FILE])
    try:
        return LoadedConfig(Config.model_validate(values), sources, path)
    except ValidationError as error:
        raise _invalid([_error_text(details, sources) for details in error.errors()]) from None


def shown_settings(loaded: LoadedConfig) -> list[tuple[str, str, str]]:
    """Return key, value and source of every setting; secrets are hidden.

    Values are written as the TOML file takes them, where an empty text stands for none.
    """
    shown: list[tuple[str, str, str]] = []
    for key, value in loaded.config.model_dump(mode="json").items():
        shown.append((key, _toml_text(value), loaded.sources.get(key, "default")))
    return shown


def _toml_text(value: Any) -> str:
    if isinstance(value, float):
        return f'"{format_duration(value)}"'
    # TOML writes texts, numbers, switches and lists as JSON does.
    return json.dumps("" if value is None else value, ensure_ascii=False)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _invalid([f"cannot read {path}: {error.strerror}"]) from None
    except RecursionError:
        raise _invalid([f"{path}: not valid TOML: nested too deeply"]) from None
    except ValueError as error:  # no TOML, no UTF-8, a number of thousands of digits
        raise _invalid([f"{path}: not valid TOML: {error}"]) from None
    for name in SECRETS:
        if values.get(name):
            check_private(path, name)
    return values


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name != CONFIG_PATH_VARIABLE
    }


def _shown_key(source: str, key: str) -> str:
    if source == "environment":
        return f"{ENVIRONMENT_PREFIX}{key.upper()}"
    if source == "flag":
        return f"--{key.replace('_', '-')}"
    return key


def _unknown_key_text(shown: str, source: str, key: str) -> str:
    near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.5)
    nearest = f"; did you mean {_shown_key(source, near[0])}?" if near else ""
    return f"{source}: unknown key {shown}{nearest}"


def _error_text(details: ErrorDetails, sources: Mapping[str, str]) -> str:
    if not details["loc"]:
        return details["msg"].removeprefix("Value error, ")
    key = str(details["loc"][0])
    if details["type"] == "missing":
        return (
            f"{key} is required: set it by --{key.replace('_', '-')}, TABLETD_{key.upper()} or TOML"
        )
    text = details["msg"].removeprefix("Value error, ")
    source = sources.get(key, "default")
    return f"{source}: {key}: {text[:1].lower()}{text[1:]}"


def _invalid(problems: list[str]) -> TabletdError:
    return TabletdError(
        Reason.INVALID_CONFIG,
        "invalid configuration: " + "; ".join(problems),
        hint="tabletd serve --help lists every key with its unit",
    )
