"""The checksum that stands for a password."""

from __future__ import annotations

from tabletd.mysql.permissions import crc64


def test_the_checksum_is_the_crc_64_of_iso_3309() -> None:
    # The check value of CRC-64/GO-ISO, as catalogues of CRCs have it.
    assert crc64(b"123456789") == 0xB90956C775A41001


def test_of_nothing_it_is_zero() -> None:
    assert crc64(b"") == 0
