"""The encrypted session token: byte for byte that of NextAuth v4, with one accepted spelling."""

import os
import string
from collections.abc import Iterator
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.sessions import jwe
from tests.support import forge
from tests.support.forge import CIPHERTEXT, IV, TAG
from tests.support.site import SECRET

# Made with next-auth 4.24.15: the package and the site have to agree on every byte.
VECTOR_SECRET = "test-secret-0123456789"
VECTOR_KEY = "bbdd088d641e4409d2475451f52a84eac1b4ff3f82ca487b60ecd0894d65cdb6"
VECTOR_IV = bytes(range(12))
VECTOR_CLAIMS: dict[str, object] = {
    "name": "홍길동",
    "email": "a@b.c",
    "sub": "7",
    "iat": 1700000000,
    "exp": 4102444800,
    "jti": "00000000-0000-4000-8000-000000000000",
}
VECTOR_TOKEN = (
    "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAECAwQFBgcICQoL."
    "eFQJAwTTuC9ju5AxMswshKPl5F5gKx1c2oQBXkEzoCe9uR1gddfakcbGmp-RgLoCGPZk2tJwoyNKKRtVeu7_1LdPjKbCOQafTQ7iU5Sv8OOZ"
    "j5Qh0mHHNeukkXFJnDVi_1DfifG_wFM_47Pc2ZxVbe3e0yVJeDL-JMoXTaU.DCBIDWhVZKXwReQO-AB9Ew"
)
OTHER_SALTS = {
    "next-auth.state": "e565519728631fde034c52a5744e4549f0d1970a89bf5e326e08dc96a2c47601",
    "__Secure-next-auth.state": "576ef17a541fe763bc496649e8a570d5258a086b38ad69434df987b52d6b94a3",
    "next-auth.pkce.code_verifier": "cc56faaf1d6f0900a576bcdf7d96baf1ee3abb7826af74ed0169ee6fb30eb67f",
    "next-auth.nonce": "d857628965015e07e9041dd9f371fde93469260afcb1c8d6a5bba8fb0ae8b46b",
}
KEY = jwe.derive_key(VECTOR_SECRET)
OTHER_KEY = jwe.derive_key(SECRET)


def refuses(token: str) -> bool:
    try:
        jwe.decrypt(token, (KEY,))
    except ValueError:
        return True
    return False


def test_encryption_reproduces_the_test_vector() -> None:
    assert jwe.encrypt(VECTOR_CLAIMS, KEY, VECTOR_IV) == VECTOR_TOKEN


def test_decryption_reads_the_test_vector() -> None:
    assert jwe.decrypt(VECTOR_TOKEN, (KEY,)) == (VECTOR_CLAIMS, 0)


def test_the_session_key_is_derived_as_by_next_auth() -> None:
    nothing = AESGCM(bytes.fromhex(VECTOR_KEY)).encrypt(VECTOR_IV, b"", None)
    assert KEY.encrypt(VECTOR_IV, b"", None) == nothing


@pytest.mark.parametrize(("salt", "key"), OTHER_SALTS.items())
def test_a_token_with_another_salt_is_refused(salt: str, key: str) -> None:
    assert forge.derive_session_key(VECTOR_SECRET, salt).hex() == key
    assert refuses(forge.encrypt(VECTOR_CLAIMS, bytes.fromhex(key)))


def test_the_forging_helpers_produce_the_test_vector() -> None:
    assert forge.encrypt(VECTOR_CLAIMS, forge.derive_session_key(VECTOR_SECRET), iv=VECTOR_IV) == VECTOR_TOKEN
    assert forge.decrypt(VECTOR_TOKEN, VECTOR_SECRET) == VECTOR_CLAIMS


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"name": "😀𠮷 \u200d <b>\"'\\ \x7f"},
        {"a": [1, -1, 1.5, None, True, {"b": ""}], "": 0},
        {"long": "가" * 5000},
    ],
    ids=["none", "odd characters", "every type", "long"],
)
def test_encrypted_claims_decrypt_to_the_same_claims(claims: dict[str, object]) -> None:
    assert jwe.decrypt(jwe.encrypt(claims, KEY), (KEY,)) == (claims, 0)


def test_every_token_has_its_own_iv() -> None:
    tokens = [jwe.encrypt(VECTOR_CLAIMS, KEY) for _ in range(100)]
    assert len({token.split(".")[IV] for token in tokens}) == 100


def test_decrypt_returns_the_index_of_the_key() -> None:
    assert jwe.decrypt(VECTOR_TOKEN, (OTHER_KEY, KEY)) == (VECTOR_CLAIMS, 1)
    with pytest.raises(ValueError, match="no key"):
        jwe.decrypt(VECTOR_TOKEN, (OTHER_KEY,))
    with pytest.raises(ValueError, match="no key"):
        jwe.decrypt(VECTOR_TOKEN, ())


def test_a_changed_character_is_refused() -> None:
    others = string.ascii_letters + string.digits + "-_.=+/ \n\0é가"
    for at, right in enumerate(VECTOR_TOKEN):
        before, after = VECTOR_TOKEN[:at], VECTOR_TOKEN[at + 1 :]
        assert all(refuses(before + wrong + after) for wrong in others if wrong != right), at


def test_a_flipped_bit_is_refused() -> None:
    for part in (IV, CIPHERTEXT, TAG):
        for bit in range(len(forge.get_part(VECTOR_TOKEN, part)) * 8):
            assert refuses(forge.flip_bit(VECTOR_TOKEN, part, bit)), (part, bit)


def shorter_and_longer() -> Iterator[str]:
    for at in range(len(VECTOR_TOKEN)):
        yield VECTOR_TOKEN[:at]
        yield VECTOR_TOKEN[at + 1 :]
        yield VECTOR_TOKEN[:at] + VECTOR_TOKEN[at + 1 :]
    for at in range(len(VECTOR_TOKEN) + 1):
        for more in "A.=- \n":
            yield VECTOR_TOKEN[:at] + more + VECTOR_TOKEN[at:]


def test_a_missing_or_extra_character_is_refused() -> None:
    assert all(refuses(token) for token in shorter_and_longer())


def test_two_swapped_characters_are_refused() -> None:
    for at, (left, right) in enumerate(pairwise(VECTOR_TOKEN)):
        if left != right:
            assert refuses(VECTOR_TOKEN[:at] + right + left + VECTOR_TOKEN[at + 2 :]), at


@pytest.mark.parametrize("length", [2890, 2891, 2892])
def test_each_part_has_only_one_accepted_base64_spelling(length: int) -> None:
    """If the last character of a part has spare bits, several spellings decode to the same bytes; one is accepted."""
    token = jwe.encrypt({"padding": "x" * length}, KEY)
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    for part in (CIPHERTEXT, TAG):
        text = token.split(".")[part]
        same = [
            text[:-1] + last
            for last in alphabet
            if forge.decode_base64url(text[:-1] + last) == forge.decode_base64url(text)
        ]
        assert len(same) == (1, 0, 16, 4)[len(text) % 4]
        assert [other for other in same if not refuses(forge.replace_part(token, part, other))] == [text]


@pytest.mark.parametrize(
    "header",
    [
        '{"enc":"A256GCM","alg":"dir"}',
        '{"alg":"dir", "enc":"A256GCM"}',
        '{"alg":"dir","enc":"A256GCM"}\n',
        '{"alg":"dir","enc":"A256GCM","typ":"JWT"}',
        '{"alg":"dir","enc":"A256GCM","zip":"DEF"}',
        '{"alg":"dir","alg":"dir","enc":"A256GCM"}',
        '{"alg":"DIR","enc":"A256GCM"}',
        '{"alg":"none","enc":"A256GCM"}',
        '{"alg":"dir","enc":"A128GCM"}',
        '{"alg":"dir"}',
        "{}",
        "",
    ],
)
def test_any_other_header_is_refused(header: str) -> None:
    assert refuses(forge.encrypt(VECTOR_CLAIMS, forge.derive_session_key(VECTOR_SECRET), header))


@pytest.mark.parametrize("size", [8, 11, 13, 16, 32, 128])
def test_an_iv_of_another_length_is_refused(size: int) -> None:
    assert refuses(forge.encrypt(VECTOR_CLAIMS, forge.derive_session_key(VECTOR_SECRET), iv=os.urandom(size)))


@pytest.mark.parametrize("size", [0, 1, 4, 8, 12, 15])
def test_a_truncated_tag_is_refused(size: int) -> None:
    assert refuses(forge.replace_part(VECTOR_TOKEN, TAG, forge.get_part(VECTOR_TOKEN, TAG)[:size]))


def test_bytes_moved_between_ciphertext_and_tag_are_refused() -> None:
    sealed = forge.get_part(VECTOR_TOKEN, CIPHERTEXT) + forge.get_part(VECTOR_TOKEN, TAG)
    for tag in (4, 12, 15, 17, 20, 32):
        moved = forge.replace_part(VECTOR_TOKEN, CIPHERTEXT, sealed[:-tag])
        assert refuses(forge.replace_part(moved, TAG, sealed[-tag:])), tag


def test_an_encrypted_key_is_refused() -> None:
    assert refuses(forge.encrypt(VECTOR_CLAIMS, forge.derive_session_key(VECTOR_SECRET), encrypted_key=b"k" * 40))


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b'"{}"', b"7", b"{", b"{}{}", b"\xef\xbb\xbf{}", b'{"a":NaN}', b'{"a":"\xff"}', b"{'a':1}"],
)
def test_a_payload_that_is_no_json_object_is_refused(payload: bytes) -> None:
    assert refuses(forge.encrypt(payload, forge.derive_session_key(VECTOR_SECRET)))


@pytest.mark.parametrize(
    "payload",
    [b'{"a":' * 5000 + b"1" + b"}" * 5000, b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}"],
    ids=["5000 levels", "100 000 brackets", "5000 digits"],
)
def test_json_that_is_too_deep_or_too_large_is_refused(payload: bytes) -> None:
    assert refuses(forge.encrypt(payload, forge.derive_session_key(VECTOR_SECRET)))
