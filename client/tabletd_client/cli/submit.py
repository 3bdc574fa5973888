"""Commands that submit, or say what submitting would do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tabletd_client.cli import completion
from tabletd_client.cli.following import again, conclude, follow
from tabletd_client.cli.json_shapes import plain
from tabletd_client.cli.near import existing
from tabletd_client.cli.options import Options, WrongUsage, duration
from tabletd_client.cli.session import (
    EXIT_DONE,
    EXIT_FAILED,
    answer,
    confirm,
    keyspace_of,
    run,
    terminal_width,
)
from tabletd_client.cli.sql import split_statements, takes_away
from tabletd_client.cli.text import plan_text
from tabletd_client.models import Status, Submission

if TYPE_CHECKING:
    from tabletd_client.client import Client

Strategy = Annotated[
    str,
    typer.Option(
        "--strategy",
        metavar="TEXT",
        help="And its options: 'gh-ost --postpone-completion', pt-osc, mysql, direct.",
    ),
]
Context = Annotated[str, typer.Option(metavar="NAME", help="A name for the group of migrations.")]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until the end, and end as it ends.")]
WaitTimeout = Annotated[
    str, typer.Option(metavar="TIME", help="Stay so long at most: 10m, 2h. [no limit]")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def apply(
    options: Options,
    sql: Annotated[
        list[str] | None, typer.Argument(metavar="SQL", help="Statements; - reads stdin.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Read the statements from a file.")
    ] = None,
    strategy: Strategy = "direct",
    context: Context = "",
    uuid: Annotated[
        list[str] | None,
        typer.Option(metavar="UUID", help="A UUID of your own, one for each statement."),
    ] = None,
    wait: Wait = False,
    wait_timeout: WaitTimeout = "",
    yes: Yes = False,
) -> None:
    """Submit schema changes."""
    statements = _statements(sql or [], file)
    seconds_max = _seconds(wait_timeout, wait)
    for statement in statements:
        if takes_away(statement):
            confirm(f"This takes something away: {_short(statement)}\nSubmit it?", yes)

    async def work(client: Client) -> int:
        submission = await client.apply(
            await keyspace_of(client, options),
            statements,
            strategy=strategy,
            context=context,
            uuids=uuid or (),
        )
        return await _submitted(client, options, submission, wait, seconds_max)

    run(options, work, changes=True)


def revert(
    options: Options,
    uuid: Annotated[
        str,
        typer.Argument(
            metavar="UUID", help="What is undone.", autocompletion=completion.complete_uuids
        ),
    ],
    context: Context = "",
    wait: Wait = False,
    wait_timeout: WaitTimeout = "",
    yes: Yes = False,
) -> None:
    """Submit a migration that undoes another one."""
    seconds_max = _seconds(wait_timeout, wait)
    confirm(f"Undo migration {uuid}?", yes)

    async def work(client: Client) -> int:
        keyspace = await keyspace_of(client, options)
        await existing(client, keyspace, uuid)
        submission = await client.revert(keyspace, uuid, context=context)
        return await _submitted(client, options, submission, wait, seconds_max)

    run(options, work, changes=True)


def explain(
    options: Options,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One statement.")],
    strategy: Strategy = "direct",
    context: Context = "",
) -> None:
    """Say what a statement would do."""

    async def work(client: Client) -> int:
        plans = await client.explain(
            await keyspace_of(client, options), sql, strategy=strategy, context=context
        )
        width = terminal_width()
        answer(options, plans, lambda: "\n\n".join(plan_text(plan, width) for plan in plans))
        return EXIT_FAILED if any(plan.refusals for plan in plans) else EXIT_DONE

    run(options, work)


async def _submitted(
    client: Client,
    options: Options,
    submission: Submission,
    wait: bool,
    seconds_max: float | None,
) -> int:
    uuids = submission.uuids
    if not wait or not uuids:
        told = {**plain(submission), "migrations": None}
        answer(options, told, lambda: "\n".join(uuids) or "done at once")
        if uuids and sys.stdout.isatty() and not options.as_json:
            typer.echo(f"see it: {again(uuids, '')}", err=True)
        return EXIT_DONE
    if not options.as_json:
        typer.echo("\n".join(f"submitted {uuid}" for uuid in uuids))
    expected = [one for uuid in uuids for one in await client.show(submission.keyspace, uuid=uuid)]
    followed = await follow(
        client,
        submission.keyspace,
        uuids=uuids,
        expected=expected,
        seconds_max=seconds_max,
        style="silent" if options.as_json else "auto",
    )
    if options.as_json:
        answer(
            options,
            {**plain(submission), "migrations": plain(list(followed.states.values()))},
            str,
        )
    code = conclude(followed, uuids)
    if any(one.status is Status.FAILED and one.log_file for one in followed.states.values()):
        typer.echo(f"its log: tabletctl logs {uuids[0]}", err=True)
    return code


def _statements(sql: list[str], file: Path | None) -> list[str]:
    if bool(sql) == (file is not None):
        raise WrongUsage("give the statements, or --file")
    if file is not None:
        try:
            text = file.read_text()
        except OSError as error:
            raise WrongUsage(f"--file: {error.strerror}: {file}") from None
        except UnicodeDecodeError:
            raise WrongUsage(f"--file: {file} is no UTF-8 text") from None
    else:
        text = ";\n".join(sys.stdin.read() if part == "-" else part for part in sql)
    statements = split_statements(text)
    if not statements:
        raise WrongUsage("there is no statement")
    return statements


def _seconds(wait_timeout: str, wait: bool) -> float | None:
    if not wait_timeout:
        return None
    if not wait:
        raise WrongUsage("--wait-timeout needs --wait")
    return duration(wait_timeout, "--wait-timeout").total_seconds()


def _short(statement: str) -> str:
    line = " ".join(statement.split())
    return line if len(line) <= 200 else f"{line[:200]}..."
