"""From a command to its exit code: the client, the keyspace, errors, Ctrl-C, questions."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer

from tabletd_client.cli.json_shapes import dump, dump_line, error_object
from tabletd_client.cli.options import WrongUsage

if TYPE_CHECKING:
    from tabletd_client.cli.options import Options
    from tabletd_client.client import Client
    from tabletd_client.errors import TabletdClientError

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_REACHABLE: Final = 3
EXIT_STILL_RUNNING: Final = 4


def run(
    options: Options, work: Callable[[Client], Awaitable[int]], *, changes: bool = False
) -> NoReturn:
    """Do a command's work and end with its exit code.

    Args:
        options: whom to ask.
        work: returns the exit code.
        changes: it asks the server to change something, which is not undone by Ctrl-C.
    """
    from tabletd_client.errors import TabletdClientError

    async def connected() -> int:
        async with options.connect() as client:
            return await work(client)

    try:
        code = asyncio.run(connected())
    except TabletdClientError as error:
        _tell(error, options)
        code = _exit_code(error)
    except KeyboardInterrupt:
        sent = "; what was sent may be done all the same: tabletctl show recent" if changes else ""
        typer.echo(f"interrupted{sent}", err=True)
        code = EXIT_FAILED
    raise typer.Exit(code)


async def keyspace_of(client: Client, options: Options) -> str:
    """Return the keyspace that was given, or the only one.

    Raises:
        WrongUsage: there are several.
    """
    if options.keyspace:
        return options.keyspace
    names = await client.keyspaces()
    if len(names) == 1:
        return names[0]
    raise WrongUsage(f"give --keyspace, one of: {', '.join(names) or 'none is there'}")


def confirm(question: str, yes: bool) -> None:
    """Ask before something is taken away; a script has to say `--yes`.

    Raises:
        Exit: the answer was no.
        WrongUsage: there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise WrongUsage(f"{question} Say --yes to do it without a terminal.")
    if not typer.confirm(_broken(question), err=True):
        typer.echo("nothing was done", err=True)
        raise typer.Exit(EXIT_FAILED)


def answer(options: Options, value: Any, text: Callable[[], str]) -> None:
    """Print an answer: as JSON where that was asked for, else as text."""
    shown = dump(value) if options.as_json else text()
    if shown:
        typer.echo(shown)


def terminal_width() -> int | None:
    """Return how many columns an answer may have; None: it is not read on a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def warn(text: str) -> None:
    """Say something beside the answer, broken between words on a terminal."""
    typer.echo(_broken(text), err=True)


def _broken(text: str) -> str:
    from tabletd_client.cli.text import wrapped

    width = shutil.get_terminal_size().columns if sys.stderr.isatty() else None
    return "\n".join(wrapped("", text, width))


def _tell(error: TabletdClientError, options: Options) -> None:
    if options.as_json:
        typer.echo(dump_line(error_object(error)), err=True)
        return
    warn(f"tabletctl: {error.message} [{error.reason}]")
    if _exit_code(error) != EXIT_USAGE:
        typer.echo(f"what to do: tabletctl explain-error {error.reason}", err=True)


def _exit_code(error: TabletdClientError) -> int:
    if error.not_reachable:
        return EXIT_NOT_REACHABLE
    # What was refused before it was sent was said wrongly.
    refused_here = error.reason == "INVALID_REQUEST" and not error.code
    return EXIT_USAGE if refused_here else EXIT_FAILED
