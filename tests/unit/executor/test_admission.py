"""Which migrations are never let into the queue."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.admission import check_enabled
from tabletd.executor.settings import ExecutorSettings


def test_nothing_is_taken_where_the_operator_wants_no_migrations() -> None:
    check_enabled(ExecutorSettings())
    with pytest.raises(TabletdError, match="online DDL is disabled") as refusal:
        check_enabled(ExecutorSettings(enable_online_ddl=False))
    assert refusal.value.reason is Reason.MIGRATION_REJECTED
