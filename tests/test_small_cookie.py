"""A small cookie is signed as itsdangerous signs it, with each key derived once."""

import pytest
from itsdangerous import BadSignature, TimestampSigner, URLSafeTimedSerializer

from services.small_cookie import SmallCookie

KEYS = [b"the older one", b"the present one"]
VALUES = [["minji", ["a", "b"]], {"csrfToken": "x" * 40, "locale": "ko"}, "", [], "\ud55c\uad6d" * 40]


def plain(keys: list[bytes], salt: str = "a") -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(keys, salt=salt)


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_each_reads_what_the_other_wrote(value: object) -> None:
    ours = SmallCookie(KEYS, salt="a")
    for _ in range(2):
        assert plain(KEYS).loads(ours.dumps(value), max_age=9) == value
        assert ours.loads(plain(KEYS).dumps(value), max_age=9) == value
        assert ours.loads(plain(KEYS[:1]).dumps(value), max_age=9) == value


@pytest.mark.parametrize("salt", ["b", ""])
def test_another_salt_is_another_signature(salt: str) -> None:
    ours = SmallCookie(KEYS, salt="a")
    assert plain(KEYS).loads(ours.dumps(1, salt=salt), salt=salt) == 1
    for written in (ours.dumps(1, salt=salt), plain(KEYS, salt).dumps(1)):
        with pytest.raises(BadSignature):
            ours.loads(written)


def test_another_key_is_refused() -> None:
    with pytest.raises(BadSignature):
        SmallCookie(KEYS, salt="a").loads(plain([b"a stranger's"]).dumps(1))


def test_each_key_is_derived_once(monkeypatch: pytest.MonkeyPatch) -> None:
    derived: list[object] = []
    derive = TimestampSigner.derive_key

    def counted(self: TimestampSigner, key: bytes | None = None) -> bytes:
        derived.append(key)
        return derive(self, key)

    monkeypatch.setattr(TimestampSigner, "derive_key", counted)
    ours = SmallCookie(KEYS, salt="a")
    for _ in range(3):
        ours.loads(ours.dumps(1))
        ours.loads(plain(KEYS[:1]).dumps(1))
    assert [key for key in derived if key] == KEYS[::-1]  # to write is to derive no key in particular: the newest
