"""What an account needs is found in what it has been granted, as servers write it down."""

from __future__ import annotations

import pytest

from tabletd.grants import parse_server
from tabletd.mysql.flavor import ServerInfo
from tabletd.mysql.held_grants import HeldGrants
from tabletd.mysql.privileges import Feature, Grant, grants_for, grants_of_tool

MARIADB, MYSQL_57, MYSQL_80 = map(parse_server, ("mariadb-10.11", "mysql-5.7", "mysql-8.0"))
OLD_MARIADB = parse_server("mariadb-10.4")


def grant(on: str, *privileges: str, option: bool = False) -> Grant:
    schema, _, table = on.partition(".")
    return Grant(Feature.DIRECT, "for a test", privileges, on, schema, table, option)


@pytest.mark.parametrize(
    ("line", "wanted", "lacking"),
    [
        ("GRANT SELECT, INSERT ON `shop`.* TO `a`@`%`", grant("shop.*", "SELECT"), ()),
        ("GRANT SELECT ON `shop`.* TO `a`@`%`", grant("shop.*", "DROP"), ("DROP",)),
        ("GRANT SELECT ON `shop`.* TO `a`@`%`", grant("shopping.*", "SELECT"), ("SELECT",)),
        (r"GRANT SELECT ON `my\_shop`.* TO `a`@`%`", grant("my_shop.*", "SELECT"), ()),
        (r"GRANT SELECT ON `my\_shop`.* TO `a`@`%`", grant("my-shop.*", "SELECT"), ("SELECT",)),
        ("GRANT SELECT ON `my%`.* TO `a`@`%`", grant("my_shop.*", "SELECT"), ()),
        ("GRANT ALL PRIVILEGES ON *.* TO `a`@`%`", grant("shop.*", "LOCK TABLES"), ()),
        (
            "GRANT ALL PRIVILEGES ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*AB'",
            grant("shop.*", "DROP", option=True),
            ("GRANT OPTION",),
        ),
        (
            "GRANT DROP ON `shop`.* TO `a`@`%` WITH GRANT OPTION MAX_USER_CONNECTIONS 9",
            grant("shop.*", "DROP", option=True),
            (),
        ),
        ("GRANT SELECT ON `%`.* TO `a`@`%`", grant("*.*", "SELECT"), ("SELECT",)),
        ("GRANT SELECT ON `mysql`.`user` TO `a`@`%`", grant("mysql.user", "SELECT"), ()),
        ("GRANT SELECT ON `mysql`.`db` TO `a`@`%`", grant("mysql.user", "SELECT"), ("SELECT",)),
        ('GRANT SELECT ON "shop".* TO "a"@"%"', grant("shop.*", "SELECT"), ()),
        (
            "GRANT SELECT (a, b), INSERT ON `shop`.`t` TO `a`@`%`",
            grant("shop.t", "SELECT", "INSERT"),
            ("SELECT",),
        ),
        ("GRANT `role`@`%` TO `a`@`%`", grant("shop.*", "SELECT"), ("SELECT",)),
    ],
)
def test_what_is_lacking_is_told(line: str, wanted: Grant, lacking: tuple[str, ...]) -> None:
    assert HeldGrants([line], MYSQL_57).lacks(wanted) == lacking


def test_super_is_as_good_as_what_it_was_split_into_on_mysql_only() -> None:
    line = "GRANT PROCESS, SUPER ON *.* TO `a`@`%`"
    assert HeldGrants([line], MYSQL_80).lacks(grant("*.*", "CONNECTION_ADMIN")) == ()
    assert HeldGrants([line], MYSQL_80).lacks(grant("*.*", "CREATE USER")) == ("CREATE USER",)
    lacking = HeldGrants([line], MARIADB).lacks(grant("*.*", "READ_ONLY ADMIN"))
    assert lacking == ("READ_ONLY ADMIN",)


@pytest.mark.parametrize(
    ("server", "feature", "privileges"),
    [
        (MARIADB, Feature.READ_ONLY, {"READ_ONLY ADMIN"}),
        (MYSQL_80, Feature.READ_ONLY, {"SYSTEM_VARIABLES_ADMIN"}),
        (MYSQL_57, Feature.READ_ONLY, {"SUPER"}),
        (OLD_MARIADB, Feature.FORCE_CUT_OVER, {"SUPER"}),
        (MYSQL_80, Feature.UNLOGGED, {"SESSION_VARIABLES_ADMIN"}),
        (parse_server("mysql-8.0.12"), Feature.UNLOGGED, {"SYSTEM_VARIABLES_ADMIN"}),
        (parse_server("mysql-8.4"), Feature.DEFINERS, {"SET_ANY_DEFINER"}),
        (MARIADB, Feature.HEALTH, {"BINLOG MONITOR", "SLAVE MONITOR", "PROCESS"}),
        (OLD_MARIADB, Feature.HEALTH, {"REPLICATION CLIENT", "PROCESS"}),
    ],
)
def test_a_privilege_has_the_name_of_the_server(
    server: ServerInfo, feature: Feature, privileges: set[str]
) -> None:
    found = grants_for({feature}, server, ["shop"])
    assert {name for grant in found for name in grant.privileges} == privileges


def test_a_migrations_account_gets_nothing_that_the_daemon_may_not_hand_on() -> None:
    for server in (MARIADB, MYSQL_57, MYSQL_80):
        for tool in (Feature.GH_OST, Feature.PT_OSC):
            own = grants_for({tool, Feature.ACCOUNTS}, server, ["my_shop"])
            held = {(one.privileges, one.on) for one in own}
            tools = grants_of_tool(tool, server, ["my_shop"])
            assert {(one.privileges, one.on) for one in tools} <= held
            assert any(one.with_grant_option for one in own)
            assert not any(one.with_grant_option for one in tools)


def test_with_one_account_for_all_tools_nothing_is_handed_on() -> None:
    for feature in (Feature.GH_OST, Feature.PT_OSC):
        found = grants_for({feature}, MYSQL_57, ["shop"])
        assert not any(one.with_grant_option for one in found)


def on_schemas(server: ServerInfo, schema: str) -> Grant:
    (found,) = [
        one for one in grants_of_tool(Feature.GH_OST, server, [schema]) if one.schema == schema
    ]
    return found


def test_gh_ost_gets_all_of_a_schema_whose_name_would_be_a_pattern_and_of_no_other() -> None:
    assert on_schemas(MYSQL_57, "my_shop").what == r"ALL PRIVILEGES ON `my\_shop`.*"
    assert "ALL PRIVILEGES" not in on_schemas(MYSQL_57, "shop").privileges
