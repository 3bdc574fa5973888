"""The database servers that a sandbox can be made of, and where their programs are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from tabletd.errors import Reason, TabletdError

REPLICATION_USER: Final = "repl"
# No secret: the server is thrown away and listens on loopback alone.
REPLICATION_PASSWORD: Final = "repl"  # noqa: S105
_TEMPLATE_FORMAT: Final = "1"
_SMALL: Final = (
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=32M",
    "--innodb-doublewrite=0",
    "--innodb-flush-log-at-trx-commit=2",
    "--sync-binlog=0",
)


class ReleaseName(StrEnum):
    """The names by which `tabletd sandbox start --server` knows the servers."""

    MARIADB = "mariadb"
    MYSQL_57 = "mysql-5.7"
    MYSQL_80 = "mysql-8.0"
    MARIADB_114 = "mariadb-11.4"


@dataclass(frozen=True)
class Release:
    """One installed server release.

    Attributes:
        name: its name in the sandbox.
        is_mariadb: MariaDB rather than MySQL.
        mysqld: the server's program.
        basedir: the directory that holds `share/`; None where the program knows it.
        environment: variables that its programs need on top of ours.
    """

    name: ReleaseName
    is_mariadb: bool
    mysqld: Path
    basedir: Path | None = None
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def server_options(self) -> list[str]:
        """Return the options that every start of this release needs: places, small buffers."""
        options = ["--no-defaults", *_SMALL]
        if self.basedir is not None:
            options.append(f"--basedir={self.basedir}")
        if os.geteuid() == 0:
            options.append("--user=root")
        if self.is_mariadb:
            options.append("--performance-schema=0")
        else:
            # Sized down: the defaults of performance_schema take 300 MB.
            options += [
                f"--lc-messages-dir={self.basedir}/share",
                "--table-definition-cache=400",
                "--table-open-cache=256",
                "--max-connections=150",
                "--explicit-defaults-for-timestamp=1",
                "--secure-file-priv=",
            ]
        if self.name is ReleaseName.MYSQL_57:
            options.append("--skip-ssl")
        if self.name is ReleaseName.MYSQL_80:
            options.append("--mysqlx=OFF")
        return options

    def process_environment(self) -> dict[str, str]:
        """Return the environment for this release's programs."""
        return {**os.environ, **self.environment}


def tools_directory() -> Path:
    """Return the directory that holds the tools and servers which Debian has not.

    In a checkout it is the one that `make` fills, else one in the user's data directory.
    """
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").is_file():
        return checkout / ".tools"
    data_home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data_home) / "tabletd" / "tools"


def find_release(name: ReleaseName) -> Release:
    """Find an installed server release.

    Raises:
        TabletdError: TOOL_MISSING when it is not installed; the hint says how to install it.
    """
    tools = tools_directory()
    match name:
        case ReleaseName.MARIADB:
            found = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
            mysqld = Path(found) if found else Path("/usr/sbin/mariadbd")
            release = Release(name, True, mysqld)
        case ReleaseName.MYSQL_57:
            base = tools / "mysql-5.7.22"
            release = Release(name, False, base / "bin" / "mysqld", base)
        case ReleaseName.MYSQL_80:
            base = tools / "mysql-8.0.12"
            libraries = {"LD_LIBRARY_PATH": f"{base}/bin:{base}/lib"}
            release = Release(name, False, base / "bin" / "mysqld", base, libraries)
        case ReleaseName.MARIADB_114:
            base = tools / "mariadb-11.4.5"
            libraries = {"LD_LIBRARY_PATH": f"{base}/libs"}
            release = Release(name, True, base / "bin" / "mariadbd", base, libraries)
    if not os.access(release.mysqld, os.X_OK):
        raise TabletdError(
            Reason.TOOL_MISSING,
            f"the server {name} is not installed: {release.mysqld} is not there",
            hint=_installation_hint(name),
            server=name,
        )
    return release


def _installation_hint(name: ReleaseName) -> str:
    if name is ReleaseName.MARIADB:
        return "apt-get install --no-install-recommends mariadb-server mariadb-client"
    return f"run scripts/setup.sh {name} in a checkout of the project"


def template_directory(release: Release) -> Path:
    """Return an initialised data directory of a release, making it when there is none yet.

    It holds `root` without a password on the socket and on 127.0.0.1, a replication account and
    no anonymous user; it is copied for each server and never started itself.

    Raises:
        TabletdError: TOOL_FAILED when the release cannot initialise a data directory.
    """
    parent = tools_directory() / "data"
    parent.mkdir(parents=True, exist_ok=True)
    build = int(release.mysqld.stat().st_mtime)
    template = parent / f"{release.name}-{build}-{_TEMPLATE_FORMAT}"
    if template.is_dir():
        return template
    scratch = Path(tempfile.mkdtemp(prefix=f".{release.name}-", dir=parent))
    try:
        _initialise(release, scratch / "data")
        try:
            (scratch / "data").rename(template)
        except OSError:
            # Somebody else made it in the meantime: theirs is as good.
            if not template.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return template


def _initialise(release: Release, datadir: Path) -> None:
    datadir.mkdir()
    accounts = datadir.parent / "accounts.sql"
    accounts.write_text(_accounts_sql(release))
    if release.is_mariadb:
        _run(release, [*_mariadb_install_command(release), f"--datadir={datadir}"])
        bootstrap = [str(release.mysqld), *release.server_options(), f"--datadir={datadir}"]
        _run(release, [*bootstrap, "--bootstrap"], accounts.read_bytes())
    else:
        command = [str(release.mysqld), *release.server_options(), f"--datadir={datadir}"]
        _run(release, [*command, "--initialize-insecure", f"--init-file={accounts}"])
        # Each copy makes a server_uuid of its own.
        (datadir / "auto.cnf").unlink(missing_ok=True)


def _mariadb_install_command(release: Release) -> list[str]:
    if release.basedir is None:
        command = ["mariadb-install-db", "--no-defaults"]
    else:
        script = release.basedir / "scripts" / "mariadb-install-db"
        command = [str(script), "--no-defaults", f"--basedir={release.basedir}"]
    command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
    command += ["--skip-name-resolve", "--innodb-log-file-size=32M"]
    if os.geteuid() == 0:
        command.append("--user=root")
    return command


def _accounts_sql(release: Release) -> str:
    user = f"'{REPLICATION_USER}'@'127.0.0.1'"
    if release.is_mariadb:
        # Privileges are read by hand: a bootstrap starts without the grant tables. The anonymous
        # users would shadow every account with a wildcard host when one comes over 127.0.0.1.
        return (
            "FLUSH PRIVILEGES;\n"
            "DELETE FROM mysql.global_priv WHERE User = '';\n"
            "FLUSH PRIVILEGES;\n"
            f"CREATE USER {user} IDENTIFIED BY '{REPLICATION_PASSWORD}';\n"
            f"GRANT REPLICATION SLAVE ON *.* TO {user};\n"
        )
    return (
        "CREATE USER 'root'@'127.0.0.1';\n"
        "GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
        "GRANT PROXY ON ''@'' TO 'root'@'127.0.0.1' WITH GRANT OPTION;\n"
        f"CREATE USER {user} IDENTIFIED WITH mysql_native_password BY '{REPLICATION_PASSWORD}';\n"
        f"GRANT REPLICATION SLAVE ON *.* TO {user};\n"
    )


def _run(release: Release, command: list[str], stdin: bytes = b"") -> None:
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            check=False,
            env=release.process_environment(),
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TabletdError(
            Reason.TOOL_FAILED, f"cannot initialise a data directory of {release.name}: {error}"
        ) from error
    if done.returncode != 0:
        text = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise TabletdError(
            Reason.TOOL_FAILED,
            f"cannot initialise a data directory of {release.name}: "
            f"{command[0]} ended with {done.returncode}: {text[-800:]}",
        )
