"""TLS of the tools' own connections, in the tools' words.

Observed with gh-ost 1.1.10 and with pt-online-schema-change 3.2.1 on DBD::mysql 4.050, which stands
on MariaDB's client library.
"""

from __future__ import annotations

from collections.abc import Sequence

from tabletd.mysql.tls import Tls, TlsMode, load_tls


def as_gh_ost_verifies(tls: Tls) -> Tls:
    """Return what gh-ost makes of it: it looks at authority and name, or at nothing."""
    if tls.mode is not TlsMode.VERIFY_CA:
        return tls
    return load_tls(TlsMode.VERIFY_IDENTITY, ca=tls.ca, cert=tls.cert, key=tls.key)


def gh_ost_options(tls: Tls | None) -> Sequence[str]:
    """Return gh-ost's arguments."""
    if tls is None:
        return ()
    files = {"ca": tls.ca, "cert": tls.cert, "key": tls.key}
    return (
        "--ssl",
        *(() if tls.mode.verifies else ("--ssl-allow-insecure",)),
        *(f"--ssl-{name}={path}" for name, path in files.items() if path is not None),
    )


def pt_osc_options(tls: Tls | None) -> Sequence[tuple[str, str]]:
    """Return what its option file has to say, by name.

    The library has no switch for TLS that the tool could reach, and turns it on with any of the
    files or a choice of ciphers. An authority is always looked at when it is given, the name only
    when that is asked for, and then with a value.
    """
    if tls is None:
        return ()
    files = {"ssl-ca": tls.ca, "ssl-cert": tls.cert, "ssl-key": tls.key}
    given = [(name, str(path)) for name, path in files.items() if path is not None]
    if tls.mode is TlsMode.VERIFY_IDENTITY:
        given.append(("ssl-verify-server-cert", "1"))
    return (*given, ("ssl-cipher", "DEFAULT"))
