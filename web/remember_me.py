"""The choice to stay signed in (`REMEMBER_ME`)."""

from services import services
from web import request_body

FIELD = "rememberMe"
_TICKED = ("1", "true", "on")


def requested() -> bool:
    """Whether the person has asked to stay signed in. Aborts with 422 for an invalid value.

    Always False without `REMEMBER_ME`.
    """
    return services().settings.remember_me and request_body.flag(FIELD)


def is_ticked() -> bool:
    """Whether the checkbox was ticked in the submitted form, to render it in the same state."""
    return request_body.fields().get(FIELD) in _TICKED
