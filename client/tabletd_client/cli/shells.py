"""The command that prints what a shell needs for completion."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from tabletd_client.cli.options import Options


class Shell(StrEnum):
    """Shells that completion is known for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    options: Options, shell: Annotated[Shell, typer.Argument(help="For which shell.")]
) -> None:
    """Print a shell's completion."""
    from tabletd_client.cli.application import application

    # This is how a shell's own set-up asks the command.
    os.environ["_TABLETCTL_COMPLETE"] = f"source_{shell.value}"
    application(args=[], prog_name="tabletctl")
