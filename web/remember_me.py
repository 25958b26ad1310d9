"""The choice to stay signed in (`REMEMBER_ME`)."""

from services import services
from web import request_body

FIELD = "rememberMe"
_TICKED = ("1", "true", "on")


def requested() -> bool:
    """Whether the person has asked to stay signed in. Aborts with 422 for a value that is neither yes nor no.

    Always False without `REMEMBER_ME`: all sessions last then.
    """
    return services().settings.remember_me and request_body.flag(FIELD)


def is_ticked() -> bool:
    """Whether the checkbox was ticked when this form was sent, so that it is when the form is shown again."""
    return request_body.fields().get(FIELD) in _TICKED
