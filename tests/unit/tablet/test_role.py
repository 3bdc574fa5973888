"""Which type a tablet has."""

from __future__ import annotations

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.tablet import TabletType
from tabletd.tablet.role import Role, ServerState
from tests.support.replication import replication

WRITABLE = ServerState(is_read_only=False, replication=None)
READ_ONLY = ServerState(is_read_only=True, replication=None)
REPLICA = ServerState(is_read_only=True, replication=replication())
WRITABLE_REPLICA = ServerState(is_read_only=False, replication=replication())


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (WRITABLE, TabletType.PRIMARY),
        (READ_ONLY, TabletType.REPLICA),
        (REPLICA, TabletType.REPLICA),
        (WRITABLE_REPLICA, TabletType.REPLICA),
    ],
)
def test_only_a_writable_server_that_is_no_replica_is_found_to_be_primary(
    server: ServerState, expected: TabletType
) -> None:
    assert Role(None).follow(server) is expected


def test_the_type_follows_the_server_in_both_directions() -> None:
    role = Role(None)
    found = [role.follow(server) for server in (REPLICA, WRITABLE, REPLICA, WRITABLE)]
    assert found == [TabletType.REPLICA, TabletType.PRIMARY] * 2


@pytest.mark.parametrize("server", [READ_ONLY, REPLICA, WRITABLE_REPLICA])
def test_a_configured_primary_is_none_while_its_server_is_not_and_says_why(
    server: ServerState,
) -> None:
    role = Role(TabletType.PRIMARY)
    assert role.follow(server) is TabletType.REPLICA
    assert server.obstacle in role.contradiction(server)
    assert role.follow(WRITABLE) is TabletType.PRIMARY
    assert not role.contradiction(WRITABLE)


def test_a_configured_replica_stays_one_whatever_the_server_is() -> None:
    role = Role(TabletType.REPLICA)
    assert {role.follow(REPLICA), role.follow(WRITABLE)} == {TabletType.REPLICA}


def test_what_the_operator_set_holds_while_the_server_stays_as_it_is() -> None:
    role = Role(None)
    role.follow(REPLICA)
    role.set_by_operator(TabletType.RDONLY, REPLICA)
    assert {role.follow(server) for server in (REPLICA, READ_ONLY)} == {TabletType.RDONLY}


def test_a_primary_that_was_drained_holds_until_the_server_is_demoted_and_promoted_again() -> None:
    role = Role(None)
    role.follow(WRITABLE)
    role.set_by_operator(TabletType.DRAINED, WRITABLE)
    assert role.follow(WRITABLE) is TabletType.DRAINED
    assert role.follow(REPLICA) is TabletType.DRAINED
    assert role.follow(WRITABLE) is TabletType.PRIMARY


def test_a_promoted_server_overrules_what_the_operator_set() -> None:
    role = Role(None)
    role.follow(REPLICA)
    role.set_by_operator(TabletType.SPARE, REPLICA)
    assert role.follow(WRITABLE) is TabletType.PRIMARY
    assert role.follow(REPLICA) is TabletType.REPLICA


def test_an_operators_primary_ends_with_the_demotion_of_the_server() -> None:
    role = Role(TabletType.REPLICA)
    role.follow(WRITABLE)
    role.set_by_operator(TabletType.PRIMARY, WRITABLE)
    assert role.follow(WRITABLE) is TabletType.PRIMARY
    assert role.follow(REPLICA) is TabletType.REPLICA
    assert role.follow(WRITABLE) is TabletType.REPLICA


@pytest.mark.parametrize(
    ("server", "reason", "said"),
    [
        (READ_ONLY, Reason.READ_ONLY, "it is read_only"),
        (REPLICA, Reason.READ_ONLY, "it is a replica"),
        (WRITABLE_REPLICA, Reason.NOT_PRIMARY, "it is a replica"),
        (None, Reason.NOT_PRIMARY, "cannot be asked"),
    ],
)
def test_a_server_that_cannot_be_primary_is_not_made_one(
    server: ServerState | None, reason: Reason, said: str
) -> None:
    role = Role(None)
    with pytest.raises(TabletdError, match=said) as refused:
        role.set_by_operator(TabletType.PRIMARY, server)
    assert refused.value.reason is reason
    assert role.follow(REPLICA) is TabletType.REPLICA


def test_nothing_is_made_unknown() -> None:
    with pytest.raises(TabletdError) as refused:
        Role(None).set_by_operator(TabletType.UNKNOWN, WRITABLE)
    assert refused.value.reason is Reason.INVALID_REQUEST


def test_without_the_server_an_operator_can_drain_and_nothing_becomes_primary() -> None:
    role = Role(None)
    assert role.without_server(TabletType.PRIMARY) is TabletType.PRIMARY
    assert Role(TabletType.PRIMARY).without_server(TabletType.UNKNOWN) is TabletType.UNKNOWN
    assert Role(TabletType.REPLICA).without_server(TabletType.UNKNOWN) is TabletType.REPLICA
    role.set_by_operator(TabletType.DRAINED, None)
    assert role.without_server(TabletType.PRIMARY) is TabletType.DRAINED
