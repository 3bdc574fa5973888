"""The commands of `tabletctl` by name; each is built when it is asked for.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not reachable, 4 still running.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from tabletd_client.cli.options import Options, takes_options

# By name: the module, what it does, and examples.
_COMMANDS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "apply": (
        "submit",
        "Submit schema changes.",
        (
            "tabletctl apply --strategy gh-ost --wait 'ALTER TABLE orders ADD note TEXT'",
            "tabletctl apply --strategy 'pt-osc --postpone-completion' --file change.sql",
        ),
    ),
    "show": (
        "look",
        "Show migrations, or one in full.",
        (
            "tabletctl show",
            "tabletctl show running",
            "tabletctl show 1a2b3c4d_1111_11f0_8de9_0242ac110002",
        ),
    ),
    "watch": (
        "look",
        "Watch migrations while they happen.",
        (
            "tabletctl watch",
            "tabletctl watch 1a2b3c4d_1111_11f0_8de9_0242ac110002",
            "tabletctl watch --context release-7 --json",
        ),
    ),
    "cancel": (
        "steer",
        "End a migration, or all pending ones.",
        ("tabletctl cancel 1a2b3c4d_1111_11f0_8de9_0242ac110002", "tabletctl cancel all --yes"),
    ),
    "retry": (
        "steer",
        "Put a failed or cancelled migration into the queue again.",
        ("tabletctl retry 1a2b3c4d_1111_11f0_8de9_0242ac110002",),
    ),
    "complete": (
        "steer",
        "Let a migration end that is held before its end.",
        (
            "tabletctl complete 1a2b3c4d_1111_11f0_8de9_0242ac110002",
            "tabletctl complete 1a2b3c4d_1111_11f0_8de9_0242ac110002 --shards=-80",
        ),
    ),
    "launch": (
        "steer",
        "Let a migration start that is held before its start.",
        ("tabletctl launch 1a2b3c4d_1111_11f0_8de9_0242ac110002", "tabletctl launch all"),
    ),
    "postpone": (
        "steer",
        "Hold a migration before its end until told to complete.",
        ("tabletctl postpone 1a2b3c4d_1111_11f0_8de9_0242ac110002",),
    ),
    "force-cutover": (
        "steer",
        "Make the next cut-over end what stands in its way.",
        ("tabletctl force-cutover 1a2b3c4d_1111_11f0_8de9_0242ac110002",),
    ),
    "cleanup": (
        "steer",
        "Give up the old tables of an ended migration before their time.",
        ("tabletctl cleanup 1a2b3c4d_1111_11f0_8de9_0242ac110002",),
    ),
    "throttle": (
        "steer",
        "Hold a migration back, or all.",
        (
            "tabletctl throttle all --expire 30m",
            "tabletctl throttle 1a2b3c4d_1111_11f0_8de9_0242ac110002 --ratio 0.5",
        ),
    ),
    "unthrottle": (
        "steer",
        "No longer hold a migration back, or all.",
        ("tabletctl unthrottle all",),
    ),
    "revert": (
        "submit",
        "Submit a migration that undoes another one.",
        ("tabletctl revert 1a2b3c4d_1111_11f0_8de9_0242ac110002 --wait",),
    ),
    "explain": (
        "submit",
        "Say what a statement would do, without submitting it.",
        ("tabletctl explain --strategy gh-ost 'ALTER TABLE orders ADD note TEXT'",),
    ),
    "tablets": ("look", "List the tablets.", ("tabletctl tablets",)),
    "lag": (
        "lag",
        "Say how far each tablet is behind its primary, and how sure that is.",
        ("tabletctl lag", "tabletctl lag --watch", "tabletctl lag --watch --json"),
    ),
    "logs": (
        "look",
        "Print the log of a migration.",
        ("tabletctl logs 1a2b3c4d_1111_11f0_8de9_0242ac110002 --tail 20",),
    ),
    "explain-error": (
        "explain_error",
        "Say what a reason of failure means, and what to do.",
        ("tabletctl explain-error NOT_PRIMARY", "tabletctl explain-error"),
    ),
    "leftovers": (
        "leftovers",
        "Show what migrations have left, and remove it.",
        ("tabletctl leftovers", "tabletctl leftovers --fix"),
    ),
    "completion": (
        "shells",
        "Print the completion for bash, zsh or fish.",
        (
            "source <(tabletctl completion bash)   # in ~/.bashrc",
            "source <(tabletctl completion zsh)    # in ~/.zshrc, after compinit",
            "tabletctl completion fish | source    # in ~/.config/fish/config.fish",
        ),
    ),
}


class _LazyGroup(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            if not ctx.resilient_parsing:
                near = difflib.get_close_matches(cmd_name, _COMMANDS, n=1)
                meant = f"; did you mean {near[0]}?" if near else ""
                ctx.fail(f"There is no command {cmd_name!r}{meant}")
            return None
        module, text, examples = _COMMANDS[cmd_name]
        home = import_module(f"tabletd_client.cli.{module}")
        command = typer.Typer(
            add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
        )
        command.command(cmd_name, help=text, epilog=_epilog(examples))(
            takes_options(getattr(home, cmd_name.replace("-", "_")))
        )
        return typer.main.get_command(command)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text, _) in _COMMANDS.items()])


def _epilog(examples: tuple[str, ...]) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)


application = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Submit, watch and steer schema migrations of MySQL and MariaDB.",
    epilog=_epilog(
        (
            "tabletctl apply --strategy gh-ost --wait 'ALTER TABLE orders ADD note TEXT'",
            "tabletctl watch",
            "source <(tabletctl completion bash)",
        )
    )
    + "\n\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 not reachable, 4 still running.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tabletctl {version('tabletd')}")
        raise typer.Exit


def _root(
    options: Options,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Take the flags that may stand before the command."""


application.callback()(takes_options(_root, root=True))
