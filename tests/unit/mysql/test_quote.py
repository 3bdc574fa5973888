"""Names inside SQL text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.quote import account, identifier


@given(
    st.text(
        st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc", "Zs"]),
        min_size=1,
        max_size=64,
    )
)
def test_a_quoted_name_ends_where_it_should(name: str) -> None:
    quoted = identifier(name)
    assert quoted[0] == quoted[-1] == "`"
    assert "`" not in quoted[1:-1].replace("``", "")
    assert quoted[1:-1].replace("``", "`") == name


def test_parts_are_joined() -> None:
    assert identifier("_vt", "we`ird") == "`_vt`.`we``ird`"


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 65, "\N{GRINNING FACE}", "tail ", "\ud83d"])
def test_a_name_that_no_server_takes_is_refused(name: str) -> None:
    with pytest.raises(TabletdError) as caught:
        identifier("_vt", name)
    assert caught.value.reason is Reason.INVALID_REQUEST


def test_an_account_is_written_with_its_host() -> None:
    assert account("gh_1", "127.0.0.1") == "'gh_1'@'127.0.0.1'"


@pytest.mark.parametrize(
    ("user", "host"), [("", "h"), ("u", ""), ("o'brien", "h"), ("u", "\\"), ("a\nb", "h")]
)
def test_an_account_with_a_quote_or_a_hole_is_refused(user: str, host: str) -> None:
    with pytest.raises(TabletdError):
        account(user, host)
