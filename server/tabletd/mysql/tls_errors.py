"""What is said when TLS with a server cannot be had, or the server asks for it."""

from __future__ import annotations

import ssl
from typing import Final

from tabletd.errors import MySQLUnavailable, Reason, TabletdError
from tabletd.mysql.settings import MySQLSettings
from tabletd.mysql.tls import Tls

# Numbers of OpenSSL: nobody known signed it, or it signed itself.
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
_OUT_OF_DATE: Final = frozenset({9, 10})
_OTHER_NAME: Final = frozenset({62, 64})
_NO_COMMON_VERSION: Final = frozenset(
    {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_VERSION_NUMBER"}
)
# How a server answers when it does not like the certificate that we show.
_OURS_REFUSED: Final = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "TLSV1_ALERT_DECRYPT_ERROR",
        "TLSV1_ALERT_UNKNOWN_CA",
    }
)


class TlsRefused(MySQLUnavailable):
    """The server is there, but TLS with it cannot be had as it is asked for.

    A `MySQLUnavailable`: operators mend it, by a new certificate for one, while we wait.
    """

    def __init__(self, settings: MySQLSettings, found: str, hint: str) -> None:
        TabletdError.__init__(
            self,
            Reason.MYSQL_TLS,
            f"no TLS with MySQL at {settings.address}: {found}",
            hint=hint,
            address=settings.address,
        )


def not_offered(settings: MySQLSettings, tls: Tls) -> TlsRefused:
    """Return the error for a server that has no TLS."""
    return TlsRefused(
        settings,
        f"the server offers none, and mysql_ssl_mode is {tls.mode}",
        "give the server a certificate (ssl_cert and ssl_key in its configuration); or, where "
        "nobody can listen on the way, set mysql_ssl_mode to disabled",
    )


def asked_for(settings: MySQLSettings, text: str) -> TlsRefused:
    """Return the error for a server that takes no connection without TLS."""
    return TlsRefused(
        settings, f"the server asks for it: {text}", "set mysql_ssl_mode, see docs/security.md"
    )


def broken_off(settings: MySQLSettings, tls: Tls, error: object) -> MySQLUnavailable:
    """Return the error for a stream that ended during a handshake, or right after it.

    A server looks at our certificate when the handshake is over for us already.
    """
    may_be = f"not accept {_shown(tls)}" if tls.cert else "know old versions of TLS only"
    return MySQLUnavailable(
        f"MySQL at {settings.address} ended the connection during the handshake of TLS: {error}",
        hint=f"is the server going down? else see its error log: it may {may_be}",
        address=settings.address,
    )


def handshake_error(settings: MySQLSettings, tls: Tls, error: ssl.SSLError) -> TlsRefused:
    """Translate what the TLS library says of a handshake: what was found, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _not_believed(settings, tls, error)
    reason = error.reason or str(error)
    if reason in _NO_COMMON_VERSION:
        return TlsRefused(
            settings,
            f"the server has no version of TLS from 1.2 on ({_words(reason)})",
            "let the server's tls_version have TLSv1.2, or upgrade it; MySQL before 5.7.28 as its "
            "maker built it knows older versions only",
        )
    if reason in _OURS_REFUSED:
        return TlsRefused(
            settings,
            f"the server does not accept {_shown(tls)} ({_words(reason)})",
            "set mysql_ssl_cert and mysql_ssl_key to a pair that an authority in the server's "
            "ssl_ca has signed",
        )
    return TlsRefused(
        settings,
        _words(reason),
        "see the server's error log; old servers need a certificate with an RSA key",
    )


def _not_believed(
    settings: MySQLSettings, tls: Tls, error: ssl.SSLCertVerificationError
) -> TlsRefused:
    code, why = error.verify_code, error.verify_message
    if code in _UNKNOWN_AUTHORITY:
        return TlsRefused(
            settings,
            f"nobody in {tls.ca} has signed the server's certificate ({why})",
            "put the authority that has signed it into mysql_ssl_ca; to see the certificate: "
            f"openssl s_client -starttls mysql -showcerts -connect {settings.address}",
        )
    if code in _OTHER_NAME:
        return TlsRefused(
            settings,
            f"the server's certificate is not for {settings.host} ({why})",
            "connect by a name that is in it (mysql_host), or have one made for this name; with "
            "mysql_ssl_mode verify_ca the name does not count",
        )
    if code in _OUT_OF_DATE:
        return TlsRefused(
            settings,
            f"the server's certificate cannot be used today ({why})",
            "give the server a new certificate, and see that both clocks are right",
        )
    return TlsRefused(
        settings,
        f"the server's certificate cannot be believed ({why})",
        f"see it: openssl s_client -starttls mysql -showcerts -connect {settings.address}",
    )


def _shown(tls: Tls) -> str:
    return f"the certificate {tls.cert}" if tls.cert else "that we show no certificate"


def _words(reason: str) -> str:
    return reason.lower().replace("_", " ")
