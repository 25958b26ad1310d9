"""How a cookie of a few words is signed."""

from typing import Any

from itsdangerous import URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode


class SmallCookie(URLSafeTimedSerializer):
    """itsdangerous's, which reads packed values too but packs none.

    To try it takes as long as all the rest, and the random text that these cookies hold only grows.
    """

    def dump_payload(self, obj: Any) -> bytes:
        return base64_encode(self.serializer.dumps(obj, **self.serializer_kwargs))
