"""`tabletctl`, run within this process against tablets of `fake_fleet`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from typer.testing import CliRunner, Result

from tabletd_client.cli.application import application
from tests.support.fake_fleet import FakeFleet


async def run(fleet: FakeFleet, *arguments: str, stdin: str = "") -> Result:
    """Run the command to its end."""
    environment = {"TABLETCTL_SERVER": fleet.address}
    return await asyncio.to_thread(
        CliRunner().invoke, application, arguments, input=stdin, env=environment
    )


async def run_json(fleet: FakeFleet, *arguments: str) -> Any:
    """Run the command with `--json` and return what it printed."""
    result = await run(fleet, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
