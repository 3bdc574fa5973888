"""Private directories are ours alone, or they are not used."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tabletd.errors import Reason, TabletdError
from tabletd.executor.engines.private_directory import (
    make_inside,
    private_directory,
    remove_directory,
)

NOBODY = 65534
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def refusal(path: Path) -> str:
    with pytest.raises(TabletdError) as refused, private_directory(path):
        raise AssertionError("it was taken")
    assert refused.value.reason is Reason.PREFLIGHT_REFUSED
    return str(refused.value)


def test_it_is_made_with_what_is_above_it_and_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "state" / "runs"
    for _ in range(2):
        with private_directory(path) as descriptor:
            assert os.fstat(descriptor).st_ino == path.stat().st_ino
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "runs").symlink_to(elsewhere)
    assert "is a symbolic link" in refusal(tmp_path / "runs")
    assert list(elsewhere.iterdir()) == []


def test_a_link_that_leads_nowhere_makes_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    assert "is a symbolic link" in refusal(tmp_path / "runs")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("mode", [0o770, 0o755, 0o701])
def test_one_that_others_may_use_is_refused_with_the_command_that_mends_it(
    tmp_path: Path, mode: int
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs").chmod(mode)
    assert f"chmod 700 {tmp_path}/runs" in refusal(tmp_path / "runs")


def test_one_whose_place_everybody_may_change_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert f"chmod o-w {tmp_path}/open" in refusal(tmp_path / "open" / "runs")
    # As in /tmp: everybody may make something there, and nobody take another's away.
    (tmp_path / "open").chmod(0o1777)
    with private_directory(tmp_path / "open" / "runs"):
        pass


@is_root
@pytest.mark.parametrize("whose", ["runs", "."])
def test_one_of_another_account_or_in_its_directory_is_refused(tmp_path: Path, whose: str) -> None:
    state = tmp_path / "state"
    (state / "runs").mkdir(parents=True, mode=0o700)
    os.chown(state / whose, NOBODY, NOBODY)
    assert f"belongs to the account {NOBODY}" in refusal(state / "runs")


def in_a_links_way(place: Path) -> None:
    place.symlink_to(place.parent)


def as_a_directory(place: Path) -> None:
    place.mkdir()


@pytest.mark.parametrize("put", [in_a_links_way, as_a_directory, Path.touch])
def test_a_name_that_is_taken_is_not_used(tmp_path: Path, put: Callable[[Path], None]) -> None:
    with private_directory(tmp_path / "runs") as runs:
        put(tmp_path / "runs" / "run")
        with pytest.raises(FileExistsError):
            make_inside(runs, "run", "phase")
    assert not (tmp_path / "runs" / "phase").exists()


def test_what_is_made_inside_stays_inside_when_the_name_is_given_to_another(
    tmp_path: Path,
) -> None:
    with private_directory(tmp_path / "runs") as runs:
        (tmp_path / "runs").rename(tmp_path / "moved")
        (tmp_path / "hostile").mkdir()
        (tmp_path / "runs").symlink_to(tmp_path / "hostile")
        make_inside(runs, "run", "phase")
    assert (tmp_path / "moved" / "run" / "phase").is_dir()
    assert list((tmp_path / "hostile").iterdir()) == []
    assert stat.S_IMODE((tmp_path / "moved" / "run" / "phase").stat().st_mode) == 0o700


def test_secrets_are_overwritten_before_they_go_and_links_not_followed(tmp_path: Path) -> None:
    with private_directory(tmp_path / "runs") as runs:
        make_inside(runs, "run")
    run = tmp_path / "runs" / "run"
    (run / "account").write_text("s3cret")
    (run / "other.cnf").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").write_text("not ours")
    # A second name shows what became of the bytes.
    os.link(run / "account", tmp_path / "witness")
    remove_directory(run, "account", "*.cnf")
    assert not run.exists()
    assert (tmp_path / "witness").read_bytes() == bytes(6)
    assert (tmp_path / "kept").read_text() == "not ours"
    remove_directory(run, "account")
