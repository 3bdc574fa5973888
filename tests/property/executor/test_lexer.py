from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tabletd.errors import Reason, TabletdError
from tabletd.executor.ddl import parse
from tabletd.executor.lexer import Kind, split_statements, string_value, tokenize

CODE = "ALTER TABLE t `a``b` /*!50100 /*M! */ -- - ; , ( ) . 1.5e-3 1a 😀"
PRODUCTS = ["*/*", "*/", "/*!50000 1*/*2", "*/*!"]
STRINGS = ["'it''s'", "'\\''", '"x"', "'", "`", "\\"]
PIECES = [*CODE.split(), *STRINGS, *PRODUCTS, "/* c */", "-- c\n", "# c\n", " ", "\n"]
SQL = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)


@given(sql=SQL, ansi_quotes=st.booleans(), backslash_escapes=st.booleans())
def test_tokens_join_to_the_text_they_were_read_from(
    sql: str, ansi_quotes: bool, backslash_escapes: bool
) -> None:
    try:
        tokens = tokenize(sql, ansi_quotes=ansi_quotes, backslash_escapes=backslash_escapes)
    except TabletdError as error:
        if error.reason is not Reason.DDL_SYNTAX:
            raise
        return
    assert "".join(token.text for token in tokens) == sql
    assert all(sql.startswith(token.text, token.start) for token in tokens)


@given(sql=SQL)
def test_any_text_is_a_statement_or_a_clear_refusal(sql: str) -> None:
    try:
        statement = parse(sql)
    except TabletdError as error:
        if error.reason not in (Reason.DDL_SYNTAX, Reason.UNSUPPORTED_DDL):
            raise
        return
    assert statement.text in sql
    assert 1 <= len(statement.name.table) <= 64


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_quoted_text_is_one_string_with_its_value(text: str) -> None:
    written = "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    (token,) = tokenize(written)
    assert token.kind is Kind.STRING
    assert string_value(token) == text


@given(statements=st.lists(st.sampled_from(["SELECT ';'", "x", "`;`", "/* ; */ y"]), max_size=5))
def test_split_gives_back_the_statements_that_were_joined(statements: list[str]) -> None:
    assert split_statements(" ;\n".join(statements)) == statements


@pytest.mark.parametrize("size", [1 << 20])
def test_a_statement_of_a_mebibyte_is_read_in_linear_time(size: int) -> None:
    assert len(tokenize("'" + "x\\'" * (size // 3) + "'")) == 1


def test_a_comment_may_begin_right_behind_a_sign_of_multiplication() -> None:
    kinds = [(token.kind, token.text) for token in tokenize("1*/* a */2*/3")]
    assert kinds == [
        (Kind.NUMBER, "1"),
        (Kind.PUNCTUATION, "*"),
        (Kind.COMMENT, "/* a */"),
        (Kind.NUMBER, "2"),
        (Kind.PUNCTUATION, "*"),
        (Kind.PUNCTUATION, "/"),
        (Kind.NUMBER, "3"),
    ]
