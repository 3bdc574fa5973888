"""The commands `tabletd sandbox start|status|stop` and `tabletd demo`."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Annotated

import typer

from tabletd.errors import Reason, TabletdError
from tabletd.sandbox.ledger import SandboxStatus, sandbox_names, sandbox_status
from tabletd.sandbox.releases import ReleaseName
from tabletd.sandbox.removal import stop_sandbox
from tabletd.sandbox.sandbox import Sandbox, SandboxRequest, start_sandbox

sandbox_app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Start and stop throw-away servers with a daemon beside each.",
)

_Name = Annotated[str, typer.Option("--name", help="Which sandbox; several live side by side.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@sandbox_app.command("start")
def start(
    server: Annotated[
        ReleaseName, typer.Option("--server", help="What the servers are.")
    ] = ReleaseName.MARIADB,
    replicas: Annotated[int, typer.Option(help="Replicas of each primary.")] = 1,
    shards: Annotated[
        str, typer.Option(help="Shards, one primary each: 0, or key ranges such as -80,80-.")
    ] = "0",
    keyspace: Annotated[str, typer.Option(help="Keyspace and name of the schema.")] = "commerce",
    name: _Name = "default",
    as_json: _Json = False,
) -> None:
    """Start a throw-away primary, its replicas and a tablet beside each, on loopback."""
    request = SandboxRequest(name, server, replicas, tuple(shards.split(",")), keyspace)

    def announce() -> None:
        count = f"{replicas} replica{'' if replicas == 1 else 's'}"
        typer.echo(f"starting sandbox {name}: {server}, {count} for each primary")

    sandbox = start_sandbox(request) if as_json else start_sandbox(request, announce)
    if as_json:
        typer.echo(json.dumps(sandbox.record(), indent=2))
    else:
        _describe(sandbox)


@sandbox_app.command("status")
def status(
    name: Annotated[str | None, typer.Option("--name", help="One sandbox; default: all.")] = None,
    as_json: _Json = False,
) -> None:
    """Say which sandboxes there are and which of their processes run."""
    names = sandbox_names() if name is None else [name]
    found = [sandbox_status(each) for each in names]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    elif not found:
        typer.echo("no sandbox; start one with: tabletd sandbox start")
    for each in [] if as_json else found:
        _report(each)


@sandbox_app.command("stop")
def stop(
    name: _Name = "default",
    everything: Annotated[bool, typer.Option("--all", help="Stop all sandboxes.")] = False,
) -> None:
    """End every process of a sandbox and remove every file of it."""
    for each in sandbox_names() if everything else [name]:
        stop_sandbox(each)
        typer.echo(f"sandbox {each}: stopped, nothing is left of it")


def demo(
    rows: Annotated[int, typer.Option(min=1000, help="Rows of each table.")] = 200_000,
) -> None:
    """Watch lag and real schema changes on throw-away servers; prove that nothing was lost."""
    from tabletd.sandbox.demo import run_demo

    if not run_demo(rows):
        raise TabletdError(Reason.INTERNAL, "the demo's proof does not hold; see above")


def _describe(sandbox: Sandbox) -> None:
    for tablet in sandbox.tablets:
        record = tablet.record()
        typer.echo(f"{record['alias']}  {record['type']:8} shard {record['shard']}")
        typer.echo(f"    tabletd  gRPC {record['grpc']}   http://{record['http']}/")
        typer.echo(f"    MySQL    mariadb -uroot -S {record['mysql_socket']} {sandbox.keyspace}")
    typer.echo(f"drive it with: export TABLETCTL_SERVER={sandbox.tablets[0].record()['grpc']}")
    program = "tabletd" if shutil.which("tabletd") else sys.argv[0]
    typer.echo(f"end it with: {program} sandbox stop --name {sandbox.name}")


def _report(found: SandboxStatus) -> None:
    server = found["server"] or "not started to the end"
    typer.echo(f"sandbox {found['name']}: {server}, keyspace {found['keyspace'] or '-'}")
    for tablet in found["tablets"]:
        mysql = "running" if tablet["mysql_running"] else "ENDED"
        daemon = "running" if tablet["tabletd_running"] else "ENDED"
        daemon += ", serving" if tablet["serving"] else ", NOT SERVING"
        typer.echo(
            f"  {tablet['alias']}  {tablet['type']:8} shard {tablet['shard']}  "
            f"MySQL {mysql}, tabletd {daemon}"
        )
        typer.echo(f"      gRPC {tablet['grpc']}   http://{tablet['http']}/")
