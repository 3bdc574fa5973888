"""What systemd has been told of the service, where it is the one that starts it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tabletd.doctor.findings import Finding, fail, ok, warn
from tabletd.processes.probe import probe

UNIT: Final = "tabletd.service"
_RUNNING_SYSTEMD: Final = Path("/run/systemd/system")
_PROPERTIES: Final = "LoadState,KillMode,Restart,PrivateTmp,UnitFileState,ActiveState"


async def service() -> Sequence[Finding]:
    """The unit lets migrations go on over a restart."""
    systemctl = await asyncio.to_thread(_systemctl)
    if systemctl is None:
        return [ok("no systemd here: whatever starts the daemon must leave its children alone")]
    answer = await probe([systemctl, "show", UNIT, f"--property={_PROPERTIES}"])
    if answer.exit_code != 0:
        return [warn(f"systemctl show {UNIT}: {answer.failure()}", f"systemctl show {UNIT}")]
    lines = (line.partition("=") for line in answer.output.splitlines())
    return unit_findings({key: value for key, _, value in lines})


def _systemctl() -> str | None:
    return shutil.which("systemctl") if _RUNNING_SYSTEMD.is_dir() else None


def unit_findings(unit: Mapping[str, str]) -> Sequence[Finding]:
    """Judge the properties of the unit, as `systemctl show` tells them."""
    if unit.get("LoadState") != "loaded":
        return [ok(f"there is no {UNIT}: not started by systemd")]
    edit = f"systemctl edit {UNIT}: [Service]"
    findings: list[Finding] = []
    if unit.get("KillMode") not in ("process", "none"):
        text = f"KillMode={unit.get('KillMode')}: a restart ends the tools, and their migrations"
        findings.append(fail(text, f"{edit} KillMode=process"))
    if unit.get("PrivateTmp") == "yes":
        text = "PrivateTmp=yes: a restart takes away what tools have in /tmp"
        findings.append(warn(text, f"{edit} PrivateTmp=no"))
    if unit.get("Restart") not in ("always", "on-failure"):
        text = f"Restart={unit.get('Restart')}: nobody starts the daemon again"
        findings.append(warn(text, f"{edit} Restart=always"))
    if unit.get("UnitFileState") == "disabled":
        text = f"{UNIT} is not started with the machine"
        findings.append(warn(text, f"systemctl enable {UNIT}"))
    return findings or [ok(f"{UNIT}: {unit.get('ActiveState')}, tools outlive a restart")]
