"""Checksums: one spelling for the many that catalogues have, and no digest that is dropped without a word."""

from __future__ import annotations

import hashlib

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from extenso_nb import checksums
from extenso_nb.errors import InputError

DATA = b"pixels" * 1000
REAL = {
    "md5": hashlib.md5(DATA).hexdigest(),
    "sha1": hashlib.sha1(DATA).hexdigest(),
    "sha256": hashlib.sha256(DATA).hexdigest(),
    "sha512": hashlib.sha512(DATA).hexdigest(),
    "sha3-256": hashlib.sha3_256(DATA).hexdigest(),
    "blake3": blake3(DATA).hexdigest(),
}
MULTIHASH = {"md5": "d50110", "sha1": "1114", "sha256": "1220", "sha512": "1340", "sha3-256": "1620", "blake3": "1e20"}


@pytest.mark.parametrize("name", list(REAL))
def test_each_algorithm_hashes_in_pieces(name: str) -> None:
    digest = checksums.hasher(name.upper())
    for place in range(0, len(DATA), 999):
        digest.update(memoryview(DATA)[place : place + 999])
    assert digest.hexdigest() == REAL[name]
    assert len(REAL[name]) == 2 * checksums.ALGORITHMS[name]


def test_known_answers() -> None:
    assert set(REAL) == set(checksums.ALGORITHMS)
    empty = checksums.hasher("blake3")  # of the specification's own test vectors
    assert empty.hexdigest() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("MD5", "md5"),
        ("SHA3-256", "sha3-256"),
        ("sha3_256", "sha3-256"),
        ("BLAKE3", "blake3"),
        ("Blake-3", "blake3"),
        ("SHA-256", "sha256"),
        ("sha2-256", "sha256"),
        ("SHA 512", "sha512"),
        ("SHA1", "sha1"),
        ("sha-1", "sha1"),
    ],
)
def test_names_as_catalogues_write_them(written: str, name: str) -> None:
    assert checksums.canonical(written) == name
    assert checksums.normalised(written, f" {REAL[name].upper()}\n") == (name, REAL[name])


@pytest.mark.parametrize("name", list(REAL))
def test_multihash(name: str) -> None:
    assert checksums.multihash(MULTIHASH[name] + REAL[name]) == (name, REAL[name])
    assert checksums.multihash((MULTIHASH[name] + REAL[name]).upper()) == (name, REAL[name])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no multihash"),
        ("zz", "no multihash"),
        ("16", "no multihash"),
        ("1620ab", "announces 32 bytes and has 1"),
        ("1620" + REAL["sha3-256"] + "00", "announces 32 bytes and has 33"),
        ("1420" + REAL["sha3-256"], "0x14"),
        ("1610" + REAL["md5"], "no sha3-256 digest"),
        ("80" * 40, "no multihash"),
    ],
)
def test_what_is_no_multihash_is_named(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        checksums.multihash(text)


@given(st.binary(max_size=40))
def test_no_bytes_break_it(raw: bytes) -> None:
    try:
        name, digest = checksums.multihash(raw.hex())
    except InputError:
        return
    assert raw.hex().endswith(digest)
    assert len(digest) == 2 * checksums.ALGORITHMS[name]


@pytest.mark.parametrize(
    "digest", ["", "xyz", REAL["md5"][:-1], REAL["md5"] + "0", REAL["sha256"], "0x" + REAL["md5"][2:]]
)
def test_a_digest_that_is_none_is_refused(digest: str) -> None:
    with pytest.raises(InputError, match="no md5 digest"):
        checksums.normalised("MD5", digest)


def test_what_cannot_be_compared_is_told() -> None:
    found, remarks = checksums.sorted_out(
        [("MD5", REAL["md5"].upper()), ("CRC32", "12345678"), ("BLAKE3", "short"), ("SHA3-256", REAL["sha3-256"])]
    )
    assert found == {"md5": REAL["md5"], "sha3-256": REAL["sha3-256"]}
    assert len(remarks) == 2
    assert "'CRC32'" in remarks[0]
    assert "blake3" in remarks[1]


def test_of_two_different_digests_neither_is_believed() -> None:
    found, remarks = checksums.sorted_out([("MD5", REAL["md5"]), ("md5", "0" * 32), ("md5", REAL["md5"])])
    assert found == {}
    assert "Two different md5" in remarks[0]
    assert checksums.sorted_out([("MD5", REAL["md5"]), ("md5", REAL["md5"].upper())]) == ({"md5": REAL["md5"]}, ())


def test_unknown_algorithms_are_named() -> None:
    for call in (lambda: checksums.hasher("crc32"), lambda: checksums.normalised("crc32", "00")):
        with pytest.raises(InputError, match="'crc32'") as caught:
            call()
        assert "blake3, md5" in str(caught.value)
