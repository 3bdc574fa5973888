"""The command that says what the reason of a failure means, and what to do; needs no server."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Annotated, Final

import typer

from tabletd_client.cli import completion
from tabletd_client.cli.options import Options, WrongUsage
from tabletd_client.cli.session import answer, terminal_width
from tabletd_client.cli.text import cut, table

_PAGE: Final = ".md"


def explain_error(
    options: Options,
    reason: Annotated[
        str,
        typer.Argument(
            metavar="REASON",
            help="As it stands in brackets behind an error; all are listed when none is given.",
            autocompletion=completion.reasons,
        ),
    ] = "",
) -> None:
    """Say what a reason means, what was kept, and what to do."""
    wanted = [_known(reason)] if reason else completion.all_reasons()
    pages = [{"reason": name, "text": _page(name)} for name in wanted]
    if reason:
        answer(options, pages, lambda: pages[0]["text"].rstrip("\n"))
        return
    answer(options, pages, lambda: _list(pages, terminal_width()))


def _list(pages: Sequence[Mapping[str, str]], width: int | None) -> str:
    lines = table(
        ("REASON", "MEANS"), [(page["reason"], _first_sentence(page["text"])) for page in pages]
    )
    return lines if width is None else "\n".join(cut(line, width) for line in lines.splitlines())


def _known(text: str) -> str:
    """Return the name of a reason that was written in any case, with brackets or dashes.

    Raises:
        WrongUsage: there is none of this name; names those that are near.
    """
    name = text.strip("[] ").upper().replace("-", "_").replace(" ", "_")
    names = completion.all_reasons()
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    what = f"did you mean {' or '.join(near)}?" if near else "tabletctl explain-error lists them"
    raise WrongUsage(f"there is no reason {text!r}: {what}")


def _page(name: str) -> str:
    return files("tabletd_client").joinpath("runbooks", name + _PAGE).read_text(encoding="utf-8")


def _first_sentence(page: str) -> str:
    paragraph = " ".join(page.split("\n\n")[1].split())
    return paragraph.partition(": ")[0].partition(". ")[0].rstrip(".")
