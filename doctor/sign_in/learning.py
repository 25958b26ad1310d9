"""The state that the steps of learning share."""

import secrets
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from backends.base import Backend, Call, placeholders
from doctor.sign_in.connection import Connection, missing_signatures
from doctor.sign_in.openapi import Operation, read_operations
from doctor.sign_in.report import Report


@dataclass(frozen=True)
class Account:
    kind: str
    """The kind of identifier: a value of `LOGIN_IDENTIFIER`, not `any`."""
    identifier: str
    """In the spelling that the site sends to the backend."""
    password: str = field(repr=False)

    @property
    def values(self) -> dict[str, str]:
        return {"identifier": self.identifier, "password": self.password}

    @property
    def with_wrong_password(self) -> dict[str, str]:
        return {"identifier": self.identifier, "password": secrets.token_urlsafe(24)}

    @property
    def unknown(self) -> dict[str, str]:
        """Credentials of an account that cannot exist (RFC 2606, 2: `.invalid`; E.164: no country code 999)."""
        names = {"email": "doctor@munjigi.invalid", "phone": "+99900000000"}
        return {"identifier": names.get(self.kind, "munjigi-doctor"), "password": secrets.token_urlsafe(24)}


@dataclass
class Learning:
    connection: Connection
    account: Account
    report: Report

    @cached_property
    def operations(self) -> list[Operation]:
        """What the description of the API has; empty if there is none."""
        return read_operations(self.connection)

    @cached_property
    def missing(self) -> set[object]:
        """The signatures of the answers to calls that do not exist."""
        return missing_signatures(self.connection)

    def common_lines(self, names: tuple[str, ...]) -> list[str]:
        """POST calls with these names in the folders above the login."""
        slash = "/" if self.login_path.endswith("/") else ""
        return [f"POST {folder}/{name}{slash}" for name, folder in product(names, folders(self.login_path))]

    @property
    def login_path(self) -> str:
        return self.connection.settings().backend.calls["login"].path or ""

    @property
    def token_place(self) -> str:
        return self.connection.learned_settings["BACKEND_TOKEN"]


def folders(path: str) -> list[str]:
    """The folders above a path, from near to far: `/api/auth`, `/api` and the root."""
    parts = path.partition("?")[0].strip("/").split("/")[:-1]
    near_to_far = ["".join(f"/{part}" for part in parts[:count]) for count in range(len(parts), -1, -1)]
    return [*near_to_far, *(["/api"] if "/api" not in near_to_far else [])]


def required_settings(backend: Backend) -> list[str]:
    """The settings without which this kind of backend cannot be called."""
    return [name for name, spec in backend.settings.items() if spec.required]


def lines_of(calls: list[Call | None]) -> list[str]:
    """The calls of the presets whose paths need no values, as `POST /path`."""
    usable_calls = [
        call for call in calls if call and call.path and not placeholders(call.path) and "://" not in call.path
    ]
    return [f"{call.method} {call.path}" for call in usable_calls]
