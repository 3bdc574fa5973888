"""What every command takes: whom to ask, how, and in which form to answer."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

import typer

from tabletd_client.cli.json_shapes import dump_line, usage_error_object
from tabletd_client.cli.words import parse_duration

if TYPE_CHECKING:
    from tabletd_client.client import Client
    from tabletd_client.connection import PasswordCredentials, TlsOptions

_DEFAULT_SERVER: Final = "127.0.0.1:16100"
_DEFAULT_TIMEOUT_SECONDS: Final = 30.0
# Or what else gRPC takes: unix:/path, dns:///name:port.
_ADDRESS: Final = re.compile(r"(?!https?:)(.+:\d{1,5}|(unix|dns|ipv4|ipv6|xds):.+)")


class WrongUsage(typer.BadParameter):
    """The command was given what it cannot mean; ends it with the exit code 2."""

    def format_message(self) -> str:
        """Return the message alone: it names the flag where there is one."""
        return self.message


@dataclass(frozen=True, slots=True)
class Options:
    """What was given; None: not."""

    server: str | None = None
    keyspace: str | None = None
    timeout: str | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_server_name: str | None = None
    credentials: Path | None = None
    as_json: bool | None = None

    def over(self, other: Options) -> Options:
        """Return these, and the others' where these are not given."""
        return Options(
            **{
                field.name: getattr(other, field.name) if given is None else given
                for field in dataclasses.fields(self)
                for given in (getattr(self, field.name),)
            }
        )

    @property
    def address(self) -> str:
        """Of the server."""
        return self.server or _DEFAULT_SERVER

    def connect(self, timeout_seconds: float | None = None) -> Client:
        """Make a client; nothing is sent yet.

        Args:
            timeout_seconds: instead of what was given.
        """
        from tabletd_client.client import connect

        if not _ADDRESS.fullmatch(self.address):
            raise WrongUsage(
                f"--server: {self.address!r} is not HOST:PORT, such as {_DEFAULT_SERVER}"
            )
        return connect(
            self.address,
            tls=self._tls(),
            credentials=self._credentials(),
            timeout_seconds=timeout_seconds or self._timeout_seconds(),
        )

    def _timeout_seconds(self) -> float:
        if self.timeout is None:
            return _DEFAULT_TIMEOUT_SECONDS
        return duration(self.timeout, "--timeout").total_seconds()

    def _tls(self) -> TlsOptions | None:
        from tabletd_client.connection import TlsOptions

        if (self.tls_cert is None) != (self.tls_key is None):
            raise WrongUsage("--tls-cert and --tls-key are given together or not at all")
        if self.tls_ca is None and self.tls_cert is None:
            return None
        return TlsOptions(
            ca=_pem(self.tls_ca, "--tls-ca"),
            certificate=_pem(self.tls_cert, "--tls-cert"),
            private_key=_pem(self.tls_key, "--tls-key"),
            server_name=self.tls_server_name or "",
        )

    def _credentials(self) -> PasswordCredentials | None:
        from tabletd_client.connection import PasswordCredentials

        content = _content(self.credentials, "--credentials")
        if content is None:
            return None
        try:
            found = json.loads(content)
            return PasswordCredentials(str(found["Username"]), str(found["Password"]))
        except (ValueError, KeyError, TypeError):
            raise WrongUsage(
                f'{self.credentials} has to hold {{"Username": "...", "Password": "..."}}'
            ) from None


def duration(text: str, flag: str) -> timedelta:
    """Return the span of time that a flag was given.

    Raises:
        WrongUsage: it is none.
    """
    try:
        return parse_duration(text)
    except ValueError as error:
        raise WrongUsage(f"{flag}: {error}") from None


def _content(path: Path | None, flag: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise WrongUsage(f"{flag}: {error.strerror}: {path}") from None


def _pem(path: Path | None, flag: str) -> bytes | None:
    content = _content(path, flag)
    if content is not None and b"-----BEGIN " not in content:
        raise WrongUsage(f"{flag}: {path} is no PEM file")
    return content


# By field: the flags, their value, the variable of the environment, the help.
_FLAGS: Final[dict[str, tuple[list[str], str, str, str]]] = {
    "server": (
        ["--server", "-s"],
        "HOST:PORT",
        "TABLETCTL_SERVER",
        f"The gRPC port of any tablet. [{_DEFAULT_SERVER}]",
    ),
    "keyspace": (["--keyspace", "-k"], "NAME", "TABLETCTL_KEYSPACE", "Keyspace. [the only one]"),
    "timeout": (["--timeout"], "TIME", "TABLETCTL_TIMEOUT", "How long a call may take. [30s]"),
    "tls_ca": (["--tls-ca"], "FILE", "TABLETCTL_TLS_CA", "PEM file: who may vouch for the server."),
    "tls_cert": (
        ["--tls-cert"],
        "FILE",
        "TABLETCTL_TLS_CERT",
        "PEM file: certificate of this client.",
    ),
    "tls_key": (["--tls-key"], "FILE", "TABLETCTL_TLS_KEY", "PEM file: the certificate's key."),
    "tls_server_name": (
        ["--tls-server-name"],
        "NAME",
        "TABLETCTL_TLS_SERVER_NAME",
        "Name in the server's certificate, where it is not its host name.",
    ),
    "credentials": (
        ["--credentials"],
        "FILE",
        "TABLETCTL_CREDENTIALS",
        'JSON file: {"Username": "...", "Password": "..."}.',
    ),
    "as_json": (["--json"], "", "", "Print JSON for programs; see docs/tabletctl-json.md."),
}


def _parameters(environment: bool) -> list[inspect.Parameter]:
    """Return the flags; those of the whole command also come from the environment."""
    hints = get_type_hints(Options)
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                hints[name],
                typer.Option(
                    *flags,
                    help=text,
                    envvar=variable if environment and variable else None,
                    show_default=False,
                    metavar=metavar or None,
                ),
            ],
        )
        for name, (flags, metavar, variable, text) in _FLAGS.items()
    ]


def takes_options(command: Callable[..., None], *, root: bool = False) -> Callable[..., None]:
    """Give a command the common flags; its first argument becomes the `Options`.

    Args:
        command: its other arguments are its own flags.
        root: it is the whole command: its flags hold for each one, and come from the environment.
    """

    def run(ctx: typer.Context, **arguments: Any) -> None:
        given = Options(**{name: arguments.pop(name) for name in _FLAGS})
        inherited = ctx.obj if isinstance(ctx.obj, Options) else Options()
        options = given.over(inherited)
        if root:
            ctx.obj = options
        try:
            command(options, **arguments)
        except WrongUsage as error:
            if not options.as_json:
                raise
            typer.echo(dump_line(usage_error_object(error.message)), err=True)
            raise typer.Exit(error.exit_code) from None

    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in list(inspect.signature(command).parameters.items())[1:]
    ]
    context = inspect.Parameter(
        "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    run.__signature__ = inspect.Signature([context, *own, *_parameters(root)])  # type: ignore[attr-defined]
    return run
