"""Option files of MySQL and MariaDB (`my.cnf`), as their own programs read them.

Only what a client needs to log in is taken, from the section `[client]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tabletd.errors import Reason, TabletdError
from tabletd.private_files import read_private

_SECTION: Final = "client"
_ESCAPES: Final = {
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "s": " ", '"': '"', "'": "'", "\\": "\\"
}  # fmt: skip
_OFF: Final = frozenset({"0", "off", "false"})
_TAKEN: Final = frozenset({"ssl-mode", "ssl-ca", "ssl-cert", "ssl-key"})
_TLS: Final = "ssl"
_VERIFIES: Final = "ssl-verify-server-cert"


def read_client_options(path: Path, key: str) -> Mapping[str, str]:
    """Return the options of `[client]` by name, with hyphens, the last one of a name counting.

    Args:
        path: the file, which only we and root may read.
        key: the setting that names it.

    Raises:
        TabletdError: INVALID_CONFIG when it cannot be read, may be read by others, or has what is
            not understood here.
    """
    options: dict[str, str] = {}
    section = ""
    for number, line in enumerate(read_private(path, key).splitlines(), 1):
        text = line.strip()
        if text.startswith("!"):
            raise TabletdError(
                Reason.INVALID_CONFIG,
                f"{key}: {path}, line {number}: other files are not read from here",
                hint="name the file itself, or put its section [client] into this one",
                key=key,
            )
        if text.startswith("["):
            section = text[1:].partition("]")[0].strip()
        elif section == _SECTION and text and text[0] not in "#;":
            name, _, value = _without_comment(text).partition("=")
            options[_option_name(name)] = _value(value.strip())
    return options


def client_settings(options: Mapping[str, str], path: Path, key: str) -> Mapping[str, str]:
    """Return what options of a client say, by the names of our settings; but for the password.

    Args:
        options: as `read_client_options` returns them.
        path: where they are from.
        key: the setting that names it.

    Raises:
        TabletdError: INVALID_CONFIG for an option about TLS that is not carried out here: without
            it connections would be less safe than the file says.
    """
    settings = {
        f"mysql_{name.replace('-', '_')}": options[name]
        for name in ("user", "host", "port", *_TAKEN)
        if options.get(name)
    }
    # As the servers' own clients do: another host than this one is meant by its name.
    if options.get("socket") and options.get("host", "localhost") == "localhost":
        settings["mysql_socket"] = options["socket"]
    if "mysql_ssl_mode" in settings:
        settings["mysql_ssl_mode"] = settings["mysql_ssl_mode"].lower()
    else:
        if _TLS in options:
            settings["mysql_ssl_mode"] = "required" if _is_on(options[_TLS]) else "disabled"
        # Where it is off, the server need not prove who it is: that says nothing against TLS.
        if _VERIFIES in options and _is_on(options[_VERIFIES]):
            settings["mysql_ssl_mode"] = "verify_identity"
    for name in options:
        is_about_tls = not {"ssl", "tls"}.isdisjoint(name.split("-"))
        if is_about_tls and name not in (*_TAKEN, _TLS, _VERIFIES):
            raise TabletdError(
                Reason.INVALID_CONFIG,
                f"{key}: {path}: the option {name} is not known here",
                hint="take it out, and see the settings mysql_ssl_* for what there is",
                key=key,
            )
    return settings


def _is_on(value: str) -> bool:
    """Say whether a switch is on; one that stands alone is."""
    return value.lower() not in _OFF


def _option_name(text: str) -> str:
    return text.strip().lower().replace("_", "-").removeprefix("loose-")


def _without_comment(line: str) -> str:
    """Cut a comment off; a number sign between quotes begins none."""
    quote, is_escaped = "", False
    for index, letter in enumerate(line):
        if letter in "'\"" and not is_escaped:
            quote = "" if quote == letter else quote or letter
        elif letter == "#" and not quote:
            return line[:index]
        is_escaped = bool(quote) and letter == "\\" and not is_escaped
    return line


def _value(text: str) -> str:
    """Take quotes and escapes away."""
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        text = text[1:-1]
    letters: list[str] = []
    remaining = iter(text)
    for letter in remaining:
        if letter != "\\":
            letters.append(letter)
            continue
        escaped = next(remaining, "")
        letters.append(_ESCAPES.get(escaped, "\\" + escaped))
    return "".join(letters)
