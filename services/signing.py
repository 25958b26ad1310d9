"""Signed values with the time of their signature, for cookies.

`itsdangerous` rejects a value from the future. With several machines, a value may come from a process whose clock is
ahead, so the serializer here accepts it as if it had just been signed.
"""

from collections.abc import Iterable
from typing import Any

from itsdangerous import BadData, SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from services.clock import MAX_DIFFERENCE_SECONDS, Clock


class _Signer(TimestampSigner):
    def __init__(self, *args: Any, clock: Clock, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock.time())

    def unsign(self, signed_value: str | bytes, max_age: int | None = None, return_timestamp: bool = False) -> Any:
        """Raises `BadData`. `max_age` is in seconds."""
        value, signed_at = super().unsign(signed_value, return_timestamp=True)
        age = self.get_timestamp() - signed_at.timestamp()
        if max_age is not None and not -MAX_DIFFERENCE_SECONDS <= age <= max_age:
            raise SignatureExpired(f"signature age {age} is not within 0 and {max_age} seconds", value, signed_at)
        return (value, signed_at) if return_timestamp else value


class TimedSerializer(URLSafeTimedSerializer):
    """Signs JSON values with the last of `secret_keys`, and accepts signatures of all of them."""

    default_signer = _Signer

    def __init__(self, secret_keys: list[str], salt: str, clock: Clock, **options: Any) -> None:
        signer_kwargs = {**options.pop("signer_kwargs", {}), "clock": clock}
        super().__init__(secret_keys, salt=salt, signer_kwargs=signer_kwargs, **options)

    def loads_newest(self, copies: Iterable[str], max_age: int) -> Any:
        """The value of the copy that was signed last. Raises `BadData` if no copy is valid.

        A browser sends several cookies with one name if they differ in their path or domain.
        """
        values = []
        for copy in copies:
            try:
                values.append(self.loads(copy, max_age=max_age, return_timestamp=True))
            except BadData:
                continue
        if not values:
            raise BadData("no copy has a valid signature")
        return max(values, key=lambda value: value[1])[0]
