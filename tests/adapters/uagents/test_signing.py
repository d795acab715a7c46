"""Addresses and signatures are the library's, byte for byte, whichever side makes them."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uagents_core.identity import Identity, _decode_bech32, _encode_bech32

from adapters.uagents import bech32
from adapters.uagents.signing import Signer, verify

PREFIXES = st.sampled_from(["agent", "sig", "user"])
DIGESTS = st.binary(min_size=32, max_size=32)


@given(PREFIXES, st.binary(min_size=1, max_size=80))
def test_bech32_is_that_of_the_library(prefix: str, data: bytes) -> None:
    text = bech32.encode(prefix, data)
    assert text == _encode_bech32(prefix, data)
    assert bech32.decode(prefix, text) == data
    assert _decode_bech32(text) == (prefix, data)


@given(PREFIXES, st.binary(min_size=1, max_size=40), st.integers(0, 200), st.characters())
def test_one_wrong_letter_is_found(prefix: str, data: bytes, at: int, letter: str) -> None:
    text = bech32.encode(prefix, data)
    at %= len(text)
    wrong = text[:at] + letter + text[at + 1 :]
    if wrong != text:
        with pytest.raises(ValueError):
            bech32.decode(prefix, wrong)


@given(PREFIXES, st.text(max_size=120))
def test_no_text_crashes_the_reading_of_it(prefix: str, text: str) -> None:
    for one in (text, f"{prefix}1{text}"):
        try:
            assert bech32.encode(prefix, bech32.decode(prefix, one)) == one
        except ValueError:
            continue


@given(DIGESTS)
def test_each_verifies_what_the_other_signs(digest: bytes) -> None:
    ours, theirs = Signer.fresh(), Identity.generate()
    assert Identity.verify_digest(ours.address, digest, ours.sign_digest(digest))
    assert verify(theirs.address, digest, theirs.sign_digest(digest))
    other = bytes([digest[0] ^ 1]) + digest[1:]
    assert not verify(theirs.address, other, theirs.sign_digest(digest))
    assert not verify(ours.address, digest, theirs.sign_digest(digest))


@given(st.binary(min_size=1, max_size=100))
def test_a_key_has_one_address(data: bytes) -> None:
    identity = Identity.generate()
    signer = Signer(bytes.fromhex(identity.private_key))
    assert signer.address == identity.address
    assert signer.public.hex() == identity.pub_key
    assert verify(signer.address, sha256(data).digest(), signer.sign(data))


@given(st.text(max_size=120), DIGESTS, st.text(max_size=120))
def test_verifying_never_raises(address: str, digest: bytes, signature: str) -> None:
    assert not verify(address, digest, signature)
    assert not verify(Signer.fresh().address, digest, signature)
    assert not verify(bech32.encode("agent", digest), digest, bech32.encode("sig", digest + digest))


def test_numbers_out_of_range_are_no_signatures() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    signer, digest = Signer.fresh(), bytes(32)
    good = bech32.decode("sig", signer.sign_digest(digest))
    for r, s in ((0, 1), (1, 0), (0, 0), (order, 1), (1, order), (2**256 - 1, 2**256 - 1)):
        raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        assert not verify(signer.address, digest, bech32.encode("sig", raw))
    for raw in (good[:63], good + b"\0", b"", good[:32]):
        assert not verify(signer.address, digest, bech32.encode("sig", raw or b"\0"))
