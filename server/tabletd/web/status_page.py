"""The page at `/`: what an operator wants to see first, without any script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from jinja2 import Environment, PackageLoader
from starlette.responses import HTMLResponse, Response

from tabletd.errors import TabletdError
from tabletd.heartbeat.lag import Lag
from tabletd.web.lag_lines import lag_line
from tabletd.web.ports import WebPorts

_TEMPLATES: Final = Environment(
    loader=PackageLoader("tabletd.web"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


async def status_page(ports: WebPorts) -> Response:
    """Return the page; without the migrations when the server cannot be asked."""
    migrations: Sequence[Mapping[str, Any]] = ()
    problem = ""
    try:
        migrations = await ports.recent_migrations()
    except TabletdError as error:
        problem = str(error)
    try:
        lags = [lag_line(one) for one in await ports.shard_lag()]
    except TabletdError:
        lags = []  # the topology does not know this tablet; its own lag stands above
    text = _TEMPLATES.get_template("status.html").render(
        tablet=ports.tablet,
        health=ports.tablet.health,
        health_class=ports.tablet.health_class.value,
        lag=_lag_text(ports.tablet.lag),
        mysql_address=ports.mysql_address,
        lease_state=ports.lease_state(),
        version=ports.version,
        lags=lags,
        migrations=migrations,
        problem=problem,
    )
    return HTMLResponse(text, headers=_HEADERS)


def _lag_text(lag: Lag) -> str:
    seconds = lag.lag_seconds
    figure = "" if seconds is None else f"{seconds:.3f} s "
    return f"{figure}({lag.state}) {lag.error}".strip()
