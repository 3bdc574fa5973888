"""Whether a server could ever serve a migration's tool, asked at the submission."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.admission import Admission
from tabletd.executor.names import create_uuid
from tabletd.executor.submit import NewMigration, Submission, read_submission
from tests.integration.engines.rig import Rig


def submission(statement: str, strategy: str, options: str = "") -> Submission:
    new = NewMigration(create_uuid(), statement, strategy, options)
    return read_submission(new, keyspace="ks", db_name="shop", allowed_schemas=())


async def test_gh_ost_is_refused_on_mariadb_for_what_it_would_have_to_do(mariadb_rig: Rig) -> None:
    admission = Admission(mariadb_rig.pool, allows_unsafe_cutover=False)
    alter = "ALTER TABLE orders ADD COLUMN c INT"
    with pytest.raises(TabletdError, match="gh-ost cannot serve MariaDB") as refusal:
        await admission.check(submission(alter, "gh-ost"))
    assert refusal.value.reason is Reason.UNSUPPORTED_SERVER
    assert "pt-osc" in (refusal.value.hint or "")
    for taken in (
        submission(alter, "pt-osc"),
        submission(alter, "mysql"),
        submission(alter, "gh-ost", "--prefer-instant-ddl"),
        submission("CREATE TABLE t (id INT PRIMARY KEY)", "gh-ost"),
    ):
        await admission.check(taken)


async def test_either_tool_is_taken_on_mysql(mysql_rig: Rig) -> None:
    admission = Admission(mysql_rig.pool, allows_unsafe_cutover=False)
    for strategy in ("gh-ost", "pt-osc"):
        await admission.check(submission("ALTER TABLE orders ADD COLUMN c INT", strategy))
