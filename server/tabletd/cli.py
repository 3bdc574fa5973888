"""The command `tabletd`: serve, config, doctor, grants, password, sandbox, demo.

A command's modules are imported when that command is asked for, so that `--help` answers at once.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    NoReturn,
    get_args,
    get_origin,
)

import typer
from typer.core import TyperGroup

from tabletd import __version__
from tabletd.errors import Reason, TabletdError

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from tabletd.config import LoadedConfig

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
_COMMANDS: Final = {
    "serve": "Run the daemon beside one MySQL or MariaDB server.",
    "config": "Check the configuration, show it with secrets hidden, or list all settings.",
    "doctor": "Look at the machine and the server, and say what is fit and what is not.",
    "grants": "Print the SQL that gives the daemon's MySQL account what it needs, and no more.",
    "password": "Make an entry for the file of users.",
    "sandbox": "Start and stop throw-away servers with a daemon beside each.",
    "demo": "Watch lag and real schema changes on throw-away servers.",
}


class _LazyGroup(TyperGroup):
    """Lists the commands by name and builds the one that is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        build = _BUILDERS.get(cmd_name)
        return None if build is None else typer.main.get_command(build())

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def main() -> None:
    """Run the command; ends the process."""
    try:
        application(prog_name="tabletd")
    except TabletdError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("tabletd"):
            raise
        missing = f"the Python package {error.name} is missing"
        _fail(TabletdError(Reason.TOOL_MISSING, missing, hint="pip install 'tabletd[server]'"))


application = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Replication lag and online schema changes for MySQL and MariaDB, driven over gRPC.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tabletd {__version__}")
        raise typer.Exit


@application.callback()
def _root(  # pyright: ignore[reportUnusedFunction]
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


def _serve_command() -> typer.Typer:
    serve = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    serve.command("serve", help=_COMMANDS["serve"])(_with_config_flags(_serve))
    return serve


def _config_command() -> typer.Typer:
    config = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help=_COMMANDS["config"],
    )
    config.command("check", help="Validate the configuration and say what is wrong with it.")(
        _with_config_flags(_check)
    )
    config.command("show", help="Print every setting and its source; secrets are hidden.")(
        _with_config_flags(_show)
    )
    config.command("reference", help="List every setting: value, default, what it is and why.")(
        _reference
    )
    return config


def _doctor_command() -> typer.Typer:
    cli_doctor = import_module("tabletd.cli_doctor")
    doctor = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    doctor.command("doctor", help=_COMMANDS["doctor"])(
        _with_config_flags(cli_doctor.doctor, cli_doctor.OPTIONS, cli_doctor.refuse)
    )
    return doctor


def _grants_command() -> typer.Typer:
    cli_grants = import_module("tabletd.cli_grants")
    grants = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    grants.command("grants", help=_COMMANDS["grants"])(
        _with_config_flags(cli_grants.grants, cli_grants.OPTIONS)
    )
    return grants


def _password_command() -> typer.Typer:
    password = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    password.command("password", help=_COMMANDS["password"])(_password)
    return password


def _password(
    user: Annotated[str, typer.Argument(metavar="USER", help="Name of the user.")],
    role: Annotated[str, typer.Option(metavar="ROLE", help="reader, operator or admin.")] = "",
) -> None:
    """Ask for a password, twice on a terminal, and print the entry with its hash."""
    from tabletd.access.passwords import PasswordHash
    from tabletd.access.roles import parse_role

    entry = {"Username": user}
    if role:
        entry["Role"] = parse_role(role).label
    if sys.stdin.isatty():
        password = str(
            typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        )
    else:
        password = sys.stdin.readline().removesuffix("\n")
    if not password:
        _fail(TabletdError(Reason.INVALID_CONFIG, "no password was given on standard input"))
    typer.echo(json.dumps({**entry, "PasswordHash": str(PasswordHash.make(password))}))


def _sandbox_command() -> Any:
    return _imported("tabletd.sandbox.commands", "sandbox_app")


def _demo_command() -> typer.Typer:
    demo = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    demo.command("demo", help=_COMMANDS["demo"])(_imported("tabletd.sandbox.commands", "demo"))
    return demo


_BUILDERS: Final[Mapping[str, Callable[[], Any]]] = {
    "serve": _serve_command,
    "config": _config_command,
    "doctor": _doctor_command,
    "grants": _grants_command,
    "password": _password_command,
    "sandbox": _sandbox_command,
    "demo": _demo_command,
}


def _imported(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def _serve(loaded: LoadedConfig, reread: Callable[[], LoadedConfig]) -> None:
    # The gRPC library must neither watch forks (children are only spawned) nor talk of them.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from tabletd.app.daemon import serve
    from tabletd.processes.wrapper import forbid_core_dumps

    forbid_core_dumps()
    raise typer.Exit(serve(loaded.config, reread=lambda: reread().config))


def _check(loaded: LoadedConfig, reread: Callable[[], LoadedConfig]) -> None:
    from tabletd.app.logins import Logins

    Logins(loaded.config)
    if loaded.config.topology_file is not None:
        from tabletd.topology import read_layout

        read_layout(loaded.config.topology_file)
    from tabletd.app.access import check_access

    check_access(loaded.config)
    typer.echo("configuration is valid")


def _show(loaded: LoadedConfig, reread: Callable[[], LoadedConfig]) -> None:
    from tabletd.config import shown_settings

    for key, value, source in shown_settings(loaded):
        typer.echo(f"{key} = {value}  # {source}")


def _reference(
    form: Annotated[
        Literal["text", "markdown"], typer.Option("--format", help="How it is written.")
    ] = "text",
) -> None:
    from tabletd.config_reference import as_markdown, as_text

    typer.echo(as_text() if form == "text" else as_markdown(), nl=False)


def _with_config_flags(
    command: Callable[..., None],
    options: Sequence[inspect.Parameter] = (),
    refuse: Callable[..., NoReturn] | None = None,
) -> Callable[..., None]:
    """Give a command one flag for each setting that is no secret, and `--config`.

    Args:
        command: is called with the configuration, a function that reads it again, and its options
            by name.
        options: its own, shown first.
        refuse: is called with the error and the options when the configuration is wrong; by default
            that is said, and the process ends.
    """
    from tabletd.config import CONFIG_PATH_VARIABLE, KEYS, SECRETS, Config, load_config
    from tabletd.config_reference import flag_names

    environment = dict(os.environ)

    def run(**arguments: Any) -> None:
        path: Path | None = arguments.pop("config")
        own = {option.name: arguments.pop(option.name) for option in options}
        flags = {key: value for key, value in arguments.items() if value is not None}

        def load() -> LoadedConfig:
            return load_config(flags, environment, path)

        try:
            try:
                loaded = load()
            except TabletdError as error:
                if refuse is None:
                    raise
                refuse(error, **own)
            for name in SECRETS:  # children must not inherit what only the daemon needs
                os.environ.pop(f"TABLETD_{name.upper()}", None)
            command(loaded, load, **own)
        except TabletdError as error:
            _fail(error)

    parameters = [
        *options,
        _flag("config", Path | None, f"TOML file (or {CONFIG_PATH_VARIABLE}).", ["--config"]),
    ]
    for key in KEYS:
        if key in SECRETS:
            continue
        field = Config.model_fields[key]
        kind: Any = bool | None if field.annotation is bool else str | None
        help_text = f"{field.description}{_default_text(field)}"
        names = list(flag_names(key))
        parameters.append(_flag(key, kind, help_text, names, _metavar(field.annotation)))
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _flag(
    name: str, kind: Any, help_text: str, names: list[str], metavar: str | None = None
) -> inspect.Parameter:
    option = typer.Option(*names, help=help_text, show_default=False, metavar=metavar)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )


def _metavar(annotation: Any) -> str | None:
    """Return what a value is, as the help shows it; None: what the library shows."""
    if get_origin(annotation) is Literal:
        return f"<{'|'.join(choice for choice in get_args(annotation) if choice)}>"
    if annotation in (int, float):
        return "<int>" if annotation is int else "<duration>"
    return "<path>" if Path in get_args(annotation) else None


def _default_text(field: FieldInfo) -> str:
    from tabletd.config_reference import default_text

    if field.is_required():
        return " [required]"
    if field.annotation is bool:
        return f" [{'on' if field.default else 'off'}]"
    shown = default_text(field)
    return f" [{shown}]" if shown else ""


def _fail(error: TabletdError) -> NoReturn:
    typer.echo(f"tabletd: {error}", err=True)
    sys.exit(EXIT_USAGE if error.reason is Reason.INVALID_CONFIG else EXIT_FAILED)
