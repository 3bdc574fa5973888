"""What is looked at on the machine: files, directories, ports, limits, the service's unit."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tabletd.app.access import audit_path, check_access
from tabletd.app.queue import state_directory
from tabletd.config import SECRETS, Config
from tabletd.doctor.certificates import certificates
from tabletd.doctor.findings import Check, Finding, aside, fail, ok, refused, warn
from tabletd.doctor.ports import ports
from tabletd.doctor.service import service
from tabletd.errors import TabletdError
from tabletd.private_files import account_name, check_private
from tabletd.topology import read_layout

_ROOT: Final = 0
_FREE_BYTES_MIN: Final = 1024**3
_OPEN_FILES_MIN: Final = 4096
_PROCESSES_MIN: Final = 512
_GIBIBYTE: Final = 1024**3
_PRIVATE: Final = (
    *(f"{name}_file" for name in SECRETS),
    "mysql_defaults_file",
    "mysql_ssl_key",
    "grpc_key",
    "grpc_auth_static_password_file",
    "grpc_auth_static_client_creds",
    "tablet_manager_grpc_key",
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the checks of the machine look at.

    Attributes:
        config: the settings; valid by themselves.
        path: the file that they came from, if they did.
    """

    config: Config
    path: Path | None = None


def configuration(machine: Machine) -> Sequence[Finding]:
    """The settings go together, and the files that they name can be read."""
    check_access(machine.config)
    return [ok(f"valid ({machine.path or 'flags and environment'})")]


def user(machine: Machine) -> Sequence[Finding]:
    """The doctor sees what the daemon will see."""
    name = account_name(os.geteuid())
    if os.geteuid() == _ROOT:
        return [
            warn(
                "you are root, who may do everything: what the daemon's own account may not, is "
                "not seen",
                "sudo -u tabletd tabletd doctor ...",
            )
        ]
    return [ok(f"looked at as {name}: the daemon must run as the same")]


def private_files(machine: Machine) -> Sequence[Finding]:
    """Files with passwords and keys are read by nobody else."""
    findings: list[Finding] = []
    for key in _PRIVATE:
        path: Path | None = getattr(machine.config, key)
        if path is None:
            continue
        try:
            check_private(path, key)
            findings.append(ok(f"{key}: {path} is private"))
        except TabletdError as error:
            findings.append(refused(error))
    return findings or [ok("no file with a secret is configured")]


def topology(machine: Machine) -> Sequence[Finding]:
    """The list of tablets has this one, as it is."""
    config = machine.config
    if config.topology_file is None:
        return [ok("no topology_file: this tablet and its replicas")]
    layout = read_layout(config.topology_file)
    here = next((place for place in layout.tablets if place.alias == config.tablet_alias), None)
    if here is None:
        text = f"{config.topology_file} does not name this tablet, {config.tablet_alias}"
        return [fail(text, f'add [[tablets]] with alias = "{config.tablet_alias}"')]
    wanted = {"keyspace": config.keyspace, "shard": config.shard}
    if config.grpc_port:
        wanted["grpc_port"] = str(config.grpc_port)
    differing = [key for key, value in wanted.items() if str(getattr(here, key)) != value]
    if differing:
        said = ", ".join(f"{key} = {getattr(here, key)}" for key in differing)
        text = f"{config.topology_file} says of {here.alias} {said}; the configuration otherwise"
        return [fail(text, f"let {' and '.join(differing)} be the same in both")]
    return [ok(f"{len(layout.tablets)} tablets, this one among them")]


def directories(machine: Machine) -> Sequence[Finding]:
    """Runs and logs can be written, by nobody else, with room, and hooks can be executed there."""
    state = state_directory(machine.config)
    findings = [_directory("run_directory", state)]
    audit = audit_path(machine.config).parent
    if audit != state:
        findings.append(_directory("audit_log", audit, is_private=False))
    there = _nearest(state)
    space = os.statvfs(there)
    free = space.f_bavail * space.f_frsize
    text = f"{free / _GIBIBYTE:.1f} GiB free at {there}"
    if free < _FREE_BYTES_MIN:
        findings.append(
            warn(f"only {text}", "make room: runs, their logs and the audit log are kept there")
        )
    else:
        findings.append(ok(text))
    if space.f_flag & os.ST_NOEXEC:
        text = f"{there} is mounted noexec: gh-ost cannot execute its hooks there"
        findings.append(fail(text, "set run_directory to another file system, or remount it exec"))
    return findings


def _directory(key: str, path: Path, *, is_private: bool = True) -> Finding:
    there = _nearest(path)
    if not os.access(there, os.W_OK | os.X_OK):
        name = account_name(os.geteuid())
        what = "cannot be written" if there == path else f"cannot be made in {there}"
        return fail(
            f"{key}: {path} {what} by {name}", f"install -d -m 700 -o {name} {path}  # as root"
        )
    if there != path:
        return ok(f"{key}: {path} will be made in {there}")
    found = path.stat()
    if is_private and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return fail(f"{key}: others may write into {path}", f"chmod 700 {path}")
    if is_private and found.st_uid not in (os.geteuid(), _ROOT):
        owner = account_name(found.st_uid)
        return warn(f"{key}: {path} belongs to {owner}", f"run the daemon as {owner}, or chown it")
    return ok(f"{key}: {path} can be written")


def _nearest(path: Path) -> Path:
    """Return the path, or what is there of it for us to see."""
    # Where we may not look, Path.exists raises.
    places = (path, *path.parents)
    return next(place for place in places if os.path.exists(place))


def limits(machine: Machine) -> Sequence[Finding]:
    """The system lets us have what a busy daemon needs."""
    wanted = (
        ("open files", resource.RLIMIT_NOFILE, _OPEN_FILES_MIN, "LimitNOFILE=16384", "-n"),
        ("processes", resource.RLIMIT_NPROC, _PROCESSES_MIN, "LimitNPROC=4096", "-u"),
    )
    findings: list[Finding] = []
    for name, number, least, unit, flag in wanted:
        soft, _ = resource.getrlimit(number)
        if soft != resource.RLIM_INFINITY and soft < least:
            remedy = f"{unit} in the unit, or ulimit {flag} {least}"
            findings.append(warn(f"at most {soft} {name}, {least} are better", remedy))
        else:
            shown = "without a limit" if soft == resource.RLIM_INFINITY else f"up to {soft}"
            findings.append(ok(f"{name}: {shown}"))
    return findings


MACHINE_CHECKS: Final[Sequence[Check[Machine]]] = (
    Check("configuration", aside(configuration)),
    Check("user", aside(user)),
    Check("private files", aside(private_files)),
    Check("certificates", aside(lambda machine: certificates(machine.config))),
    Check("topology", aside(topology)),
    Check("directories", aside(directories)),
    Check("ports", aside(lambda machine: ports(machine.config, machine.path))),
    Check("limits", aside(limits)),
    Check("service", lambda machine: service()),
)
