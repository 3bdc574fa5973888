"""The command `tabletd doctor`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Annotated, Final, NoReturn

import typer

from tabletd.config import LoadedConfig
from tabletd.doctor.examination import examine
from tabletd.doctor.findings import Line, refused
from tabletd.doctor.machine import Machine
from tabletd.doctor.report import as_json, as_text, is_fit
from tabletd.errors import TabletdError

OPTIONS: Final = (
    inspect.Parameter(
        "as_json",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, typer.Option("--json", help="Print JSON for programs.")],
    ),
)


def doctor(loaded: LoadedConfig, reread: Callable[[], LoadedConfig], *, as_json: bool) -> None:
    """Look at the machine and the server; exit code 0 when nothing fails."""
    machine = Machine(loaded.config, loaded.path)
    _tell(asyncio.run(examine(machine)), as_json)


def refuse(error: TabletdError, *, as_json: bool) -> NoReturn:
    """Say that the configuration is wrong: then nothing else can be looked at."""
    _tell([Line("configuration", refused(error))], as_json)
    raise AssertionError


def _tell(lines: list[Line], is_json: bool) -> None:
    typer.echo(as_json(lines) if is_json else as_text(lines))
    raise typer.Exit(0 if is_fit(lines) else 1)
