"""A machine that packages are installed on, and the service on it, started by hand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from tests.support.waiting import PATIENCE_SECONDS, eventually_blocking

NAME: Final = "tabletd"
CONFIGURATION: Final = Path("/etc/tabletd/tabletd.toml")
STATE: Final = Path("/var/lib/tabletd")
LOGS: Final = Path("/var/log/tabletd")
UNIT: Final = Path("/usr/lib/systemd/system/tabletd.service")
_APT_SECONDS_MAX: Final = 280


def run(*command: str | Path, ok: bool = True) -> str:
    """Run a command to its end; return what it says on both outputs.

    Args:
        command: program and arguments.
        ok: whether it is to succeed; else it must fail.
    """
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_APT_SECONDS_MAX,
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            # The registries are reached as on this machine.
            **{key: os.environ[key] for key in os.environ if key.lower().endswith("_proxy")},
        },
    )
    assert (done.returncode == 0) == ok, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def install(package: Path) -> None:
    """Install or upgrade, with all that the package depends on; changed settings are kept."""
    keep = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
    run("apt-get", "install", "-y", "-q", "--no-install-recommends", *keep, package)


def installed_version() -> str:
    """Return the installed version; empty: it is not installed."""
    status = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", NAME],
        capture_output=True,
        text=True,
    ).stdout
    return status.removeprefix("installed ") if status.startswith("installed ") else ""


def traces() -> list[str]:
    """Name what a purged package has left on the machine; its account may stay."""
    places = ("/etc", "/usr/bin", "/usr/lib", "/usr/share", "/var/lib", "/var/log", "/run")
    found = [str(path) for place in places for path in Path(place).glob("*tabletd*")]
    for folder in ("/etc/logrotate.d", "/usr/lib/sysusers.d", "/usr/lib/tmpfiles.d", UNIT.parent):
        found += [str(path) for path in Path(folder).glob("*tabletd*")]
    return sorted(found)


def revised(package: Path, directory: Path) -> Path:
    """Return the package as its next revision, with another default configuration."""
    tree = directory / "tree"
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^(Version: .*)-1$", r"\1-2", control.read_text(), flags=re.M))
    with (tree / CONFIGURATION.relative_to("/")).open("a") as file:
        file.write("# A line of the next revision.\n")
    run("dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, directory / "revised.deb")
    shutil.rmtree(tree)
    return directory / "revised.deb"


class Service:
    """The daemon as its unit would start it: command, account, environment; and its manager."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="tabletd-service-"))
        self._directory.chmod(0o755)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._directory / "notify"))
        self._socket.setblocking(False)
        (self._directory / "notify").chmod(0o666)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What the daemon has written so far."""
        return (self._directory / "log").read_text()

    def start(self) -> None:
        """Start it, and return when it says that it is ready."""
        unit = UNIT.read_text()
        environment = re.findall(r"^Environment=(.*)$", unit, re.M)
        (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.M)
        become = (
            "setpriv", f"--reuid={NAME}", f"--regid={NAME}", "--init-groups", "--no-new-privs",
            "--inh-caps=-all", "--bounding-set=-all", "--reset-env",
        )  # fmt: skip
        words = (f"NOTIFY_SOCKET={self._directory}/notify", *environment, *shlex.split(command))
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*become, "env", *words], stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        self.hears("READY=1")

    def hears(self, wanted: str) -> None:
        """Wait until it says a line to its manager."""
        process = self._process
        assert process is not None

        def has_said_it() -> bool:
            with suppress(BlockingIOError):
                while wanted not in self._socket.recv(4096).decode().split("\n"):
                    pass
                return True
            return False

        eventually_blocking(
            lambda: has_said_it() or process.poll() is not None, what=f"it says {wanted}"
        )
        assert process.poll() is None, self.log

    def stop(self) -> None:
        """End it as `KillMode=process` does: its main process alone."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE_SECONDS) == 0, self.log

    def close(self) -> None:
        """End it and all that it left running, by force."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for process in processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        eventually_blocking(lambda: not list(processes()), what="its processes end")
        self._socket.close()
        shutil.rmtree(self._directory)


def processes() -> Iterator[psutil.Process]:
    """Find the processes of the service's account."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if process.username() == NAME:
                yield process


def tools() -> list[psutil.Process]:
    """Find the migration tools among them."""
    found: list[psutil.Process] = []
    for process in processes():
        with suppress(psutil.NoSuchProcess):
            if any(word.endswith("/pt-online-schema-change") for word in process.cmdline()[:2]):
                found.append(process)
    return found
