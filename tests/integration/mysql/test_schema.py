"""The definitions of tables, as GetSchema gives them."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.mysql.schema import SchemaDefinition, describe_schema
from tests.support.pools import pool_of
from tests.support.servers import RealServer


@pytest.fixture
def shop(any_server: RealServer, database: str) -> str:
    any_server.script(
        "CREATE TABLE orders (id int AUTO_INCREMENT, tag varchar(9) NOT NULL,"
        " note text COMMENT 'keep AUTO_INCREMENT=3', PRIMARY KEY (tag, id), KEY (id))"
        " ENGINE=InnoDB AUTO_INCREMENT=1000",
        "CREATE TABLE items (a int)",
        "CREATE TABLE items_old (a int)",
        "CREATE VIEW cheap AS SELECT a FROM items",
        database=database,
    )
    return database


async def _describe(
    server: RealServer,
    database: str,
    *,
    tables: tuple[str, ...] = (),
    exclude_tables: tuple[str, ...] = (),
    include_views: bool = False,
    table_schema_only: bool = False,
) -> SchemaDefinition:
    async with pool_of(server) as pool, pool.session() as session:
        return await describe_schema(
            session,
            database,
            tables,
            exclude_tables,
            include_views=include_views,
            table_schema_only=table_schema_only,
        )


def _names(schema: SchemaDefinition) -> list[str]:
    return [table.name for table in schema.table_definitions]


async def test_tables_come_sorted_with_columns_keys_and_create_text(
    any_server: RealServer, shop: str
) -> None:
    schema = await _describe(any_server, shop)
    assert _names(schema) == ["items", "items_old", "orders"]
    assert "`{{.DatabaseName}}`" in schema.database_schema
    assert shop not in schema.database_schema
    orders = schema.table_definitions[2]
    assert orders.type == "BASE TABLE"
    assert orders.columns == ("id", "tag", "note")
    assert orders.primary_key_columns == ("tag", "id")
    assert [field.type_code for field in orders.fields] == [3, 253, 252]
    assert orders.data_length > 0


async def test_the_next_auto_increment_value_is_removed_and_nothing_else(
    any_server: RealServer, shop: str
) -> None:
    text = (await _describe(any_server, shop, tables=("orders",))).table_definitions[0].schema
    assert "AUTO_INCREMENT=1000" not in text
    assert "keep AUTO_INCREMENT=3" in text
    assert "AUTO_INCREMENT," in text


async def test_views_come_only_when_asked_for_and_name_no_schema(
    any_server: RealServer, shop: str
) -> None:
    schema = await _describe(any_server, shop, include_views=True)
    assert _names(schema) == ["cheap", "items", "items_old", "orders"]
    view = schema.table_definitions[0]
    assert view.type == "VIEW"
    assert "`{{.DatabaseName}}`.`items`" in view.schema
    assert shop not in view.schema


async def test_names_and_expressions_include_and_exclude(any_server: RealServer, shop: str) -> None:
    assert _names(await _describe(any_server, shop, tables=("items",))) == ["items"]
    assert _names(await _describe(any_server, shop, tables=("/^items/",))) == ["items", "items_old"]
    excluded = await _describe(any_server, shop, exclude_tables=("/_old$/", "/^ord"))
    assert _names(excluded) == ["items"]


async def test_only_the_create_text_when_that_is_all_that_is_wanted(
    any_server: RealServer, shop: str
) -> None:
    table = (await _describe(any_server, shop, table_schema_only=True)).table_definitions[0]
    assert table.schema.startswith("CREATE TABLE `items`")
    assert (table.columns, table.fields) == ((), ())


async def test_a_bad_expression_is_the_callers_fault(any_server: RealServer, shop: str) -> None:
    with pytest.raises(TabletdError) as caught:
        await _describe(any_server, shop, tables=("/(/",))
    assert caught.value.reason is Reason.INVALID_REQUEST


async def test_an_unknown_schema_is_not_found(any_server: RealServer) -> None:
    with pytest.raises(TabletdError) as caught:
        await _describe(any_server, "nowhere")
    assert caught.value.reason is Reason.TABLE_NOT_FOUND
