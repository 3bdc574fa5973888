"""Bind variables become parameters, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.admin.bind_variables import bind
from tabletd.errors import Reason, TabletdError


@pytest.mark.parametrize(
    ("sql", "variables", "bound", "values"),
    [
        ("select :v1", {"v1": 7}, "select %s", [7]),
        ("select :a, :b, :a", {"a": 1, "b": 2}, "select %s, %s, %s", [1, 2, 1]),
        ("where id in ::ids", {"ids": [1, 2]}, "where id in (%s, %s)", [1, 2]),
        ("like '%x' and :v", {"v": None}, "like '%%x' and %s", [None]),
        ("select ':v', \":v\", `:v` -- :v", {}, "select ':v', \":v\", `:v` -- :v", []),
        ("/* :v */ select :v # :v", {"v": b"\0"}, "/* :v */ select %s # :v", [b"\0"]),
        ("set @a := 5", {"a": 1}, "set @a := 5", []),
        ("select 'it''s :v', :v", {"v": "'"}, "select 'it''s :v', %s", ["'"]),
    ],
)
def test_a_variable_is_replaced_outside_strings_names_and_comments(
    sql: str, variables: dict[str, Any], bound: str, values: list[Any]
) -> None:
    assert bind(sql, variables) == (bound, values)


@pytest.mark.parametrize(
    ("sql", "variables", "message"),
    [
        ("select :v1", {}, "missing bind var v1"),
        ("select :v1", {"v1": [1]}, "one value is expected"),
        ("in ::v1", {"v1": 1}, "a list of values is expected"),
        ("in ::v1", {"v1": []}, "the list is empty"),
    ],
)
def test_a_variable_that_does_not_fit_is_refused(
    sql: str, variables: dict[str, Any], message: str
) -> None:
    with pytest.raises(TabletdError, match=message) as caught:
        bind(sql, variables)
    assert caught.value.reason is Reason.INVALID_REQUEST


@given(st.text(alphabet=":v'\"`\\ %-#/*a1\n", max_size=30))
def test_without_variables_in_the_text_it_stays_the_same_but_for_doubled_per_cent_signs(
    sql: str,
) -> None:
    try:
        bound, values = bind(sql, {})
    except TabletdError:
        return
    assert values == []
    assert bound == sql.replace("%", "%%")
