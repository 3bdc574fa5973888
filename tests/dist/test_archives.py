"""What is in the wheel and in the sdist, and what they say of themselves."""

from __future__ import annotations

import re
import subprocess
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from tabletd import __version__
from tests.dist.conftest import Distribution, build
from tests.dist.environments import ROOT


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def requirements() -> list[Requirement]:
    """Return what the base and all extras ask for."""
    about = project()
    lists = [about["dependencies"], *about["optional-dependencies"].values()]
    return [Requirement(text) for texts in lists for text in texts]


def pins(name: str) -> dict[str, Version]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    found = re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)
    return {package: Version(version) for package, version in found}


def test_the_wheel_has_what_users_of_other_languages_and_of_types_need(
    distribution: Distribution,
) -> None:
    names = contents(distribution.wheel).keys()
    protos = {f"tabletd_pb/{path.name}" for path in (ROOT / "protos" / "tabletd_pb").iterdir()}
    assert protos <= names
    assert {
        f"{package}/py.typed" for package in ("tabletd", "tabletd_client", "tabletd_pb")
    } <= names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert "tabletd/web/templates/status.html" in names
    folders = {name.partition("/")[0] for name in names}
    assert folders == {
        "tabletd", "tabletd_client", "tabletd_pb", f"tabletd-{__version__}.dist-info",
    }  # fmt: skip


def test_the_wheel_says_which_python_and_which_extras(distribution: Distribution) -> None:
    about = contents(distribution.wheel)[f"tabletd-{__version__}.dist-info/METADATA"].decode()
    headers = Parser().parsestr(about)
    assert headers["Version"] == __version__
    assert headers["Requires-Python"] == ">=3.11"
    assert headers.get_all("Provides-Extra") == ["cli", "server"]


def test_a_wheel_that_is_built_from_the_sdist_is_the_same(
    distribution: Distribution, tmp_path: Path
) -> None:
    subprocess.run(["tar", "-xzf", distribution.sdist, "-C", tmp_path], check=True)
    again = build(tmp_path / f"tabletd-{__version__}", tmp_path / "again")
    assert contents(again.wheel) == contents(distribution.wheel)


def test_the_sdist_has_the_sources_and_the_service_but_no_tests(
    distribution: Distribution,
) -> None:
    with tarfile.open(distribution.sdist) as archive:
        folders = {Path(name).parts[1] for name in archive.getnames()}
    assert folders - {".gitignore", "PKG-INFO", "pyproject.toml"} == {
        "CHANGELOG.md", "LICENSE", "README.md", "client", "packaging", "protos", "server",
    }  # fmt: skip


def test_the_oldest_versions_that_are_tested_are_the_oldest_that_are_allowed() -> None:
    tested = pins("oldest")
    allowed = {
        wanted.name: min(Version(one.version) for one in wanted.specifier if one.operator == ">=")
        for wanted in requirements()
    }
    assert {name: tested[name] for name in allowed} == allowed


def test_the_newest_versions_that_are_tested_are_allowed() -> None:
    tested = pins("server")
    assert [str(one) for one in requirements() if tested[one.name] not in one.specifier] == []


def test_no_older_grpcio_or_protobuf_is_allowed_than_the_stubs_take() -> None:
    stubs = list((ROOT / "client" / "tabletd_pb").glob("*_pb2*.py"))
    texts = [path.read_text() for path in stubs]
    grpcio = {one for text in texts for one in re.findall(r"GENERATED_VERSION = '(.+)'", text)}
    protobuf = {one for text in texts for one in re.findall(r"Protobuf Python Version: (.+)", text)}
    assert grpcio == {str(pins("oldest")["grpcio"])}
    assert protobuf == {str(pins("oldest")["protobuf"])}
