"""docs/backend.openapi.yaml describes the `laravel` protocol as the engine speaks it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from openapi_spec_validator.readers import read_from_filename

import backends
import errors
from backends.base import ACCOUNT_CALLS, LINK_CALLS, Method
from providers.base import Identity, Registration
from services.backend.account_calls import AccountCalls
from services.backend.client import BackendClient, Revocation, StepRequired
from services.backend.link_calls import LinkCalls, LinkedAccount
from services.backend.next_step import Step
from services.backend.tokens import Tokens
from services.backend.user import User
from services.http.client import HttpClient
from tests.support.commands import ROOT
from tests.support.faulty_backend import FaultyBackend, RecordedRequest, faulty_backend, http_response, keep_alive
from tests.support.site import ACCOUNT_PATHS, LINK_PATHS, ManualClock, a_context, make_settings

SPEC: Mapping[str, Any] = read_from_filename(str(ROOT / "docs" / "backend.openapi.yaml"))[0]
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in SPEC["paths"].items()
    for method, operation in methods.items()
}
TOKEN = "17|made-up-token"
USER = User(7, "Jun Park", None, "jun@example.com")
EVENT: Mapping[str, Any] = {
    "event_id": "8f3b1c0e5d",
    "provider": "apple",
    "type": "email-disabled",
    "subject": "000313.c972",
    "occurred_at": "2026-01-27T16:44:07.700Z",
    "email": "relay@example.com",
    "is_private_email": True,
}
OF_HTTP = {"Host", "User-Agent", "Accept", "Accept-Encoding", "Content-Length", "Content-Type", "Authorization"}
"""Headers that OpenAPI describes elsewhere, or not at all."""


class Case(NamedTuple):
    operation: str
    status: int
    body: object
    """None: no body."""
    result: str
    """The code of an error, or what is certain after a success."""
    headers: Mapping[str, object]


def resolve(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a `$ref` into this file."""
    if "$ref" not in node:
        return node
    target: Any = SPEC
    for key in node["$ref"].removeprefix("#/").split("/"):
        target = target[key]
    return resolve(target)


def validator(schema: Mapping[str, Any]) -> OAS31Validator:
    return OAS31Validator({**schema, "components": SPEC["components"]})


def cases() -> Iterator[Case]:
    """Each documented answer: its examples, or the example of its schema."""
    for name, (_, _, operation) in OPERATIONS.items():
        for status, response in operation["responses"].items():
            answer = resolve(response)
            headers = {
                key.replace("-", "_"): resolve(header)["example"] for key, header in answer.get("headers", {}).items()
            }
            content = answer.get("content", {}).get("application/json")
            if content is None:
                yield Case(name, int(status), None, answer["x-result"], headers)
            elif "examples" in content:
                for example in content["examples"].values():
                    yield Case(name, int(status), example["value"], example["x-result"], headers)
            else:
                (body,) = resolve(content["schema"])["examples"]
                yield Case(name, int(status), body, answer["x-result"], headers)


CASES = list(cases())


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyBackend]:
    with faulty_backend() as running:
        yield running


class Calls(NamedTuple):
    backend: BackendClient
    accounts: AccountCalls
    links: LinkCalls
    apple: Registration


@pytest.fixture
def client(server: FaultyBackend, http: HttpClient) -> Calls:
    server.reset()
    settings = make_settings(
        **ACCOUNT_PATHS,
        **LINK_PATHS,
        providers="apple",
        apple_client_id="id",
        apple_client_secret="a.b.c",
        backend_url=server.url,
        backend_logout_path="/logout",
        backend_profile_path="/profile",
        backend_provider_event_path="/provider-events",
        backend_events_token="The-backend-knows-this-one-and-nobody-else",
        backend_next_step_urls="https://verify.example.com",
    )
    backend = BackendClient(settings, http, ManualClock())
    accounts, links = AccountCalls(settings, backend, ManualClock()), LinkCalls(settings, backend)
    return Calls(backend, accounts, links, settings.registrations[0])


def run(calls: Calls, operation: str) -> Any:  # noqa: C901  # one for each call
    if operation in (*ACCOUNT_CALLS, *LINK_CALLS, "social_register"):
        return run_page_call(calls, operation)
    client, context = calls.backend, a_context()
    match operation:
        case "login":
            return client.login("jun@example.com", "가 \"'+&=%", context).tokens.access
        case "social":
            identity = Identity(subject="1", social_token="a+b/c=", email="jun@example.com", email_verified=True)
            identity = replace(identity, name="Jun Park", name_is_unsigned=True)
            return client.social_login("apple", identity, with_email=True, context=context).tokens.access
        case "user":
            return client.user(TOKEN, context)
        case "verify":
            step = Step({"sms": Method.SMS}, "made-up-challenge")
            return client.verify(step, "sms", "123456", context, trust=False, values={}).tokens.access
        case "resend":
            return client.resend(Step({"sms": Method.SMS}, "made-up-challenge"), "sms", context, {})
        case "provider_event":
            return client.send_provider_event(EVENT, context)
        case "logout":
            return client.logout(Tokens(TOKEN), context)
        case _:
            return client.save_profile(TOKEN, USER, "Jun Kim", None, context)


def run_account_call(accounts: AccountCalls, operation: str) -> Any:
    context = a_context()
    email, password = "jun@example.com", "가 \"'+&=%"
    if operation in ("forgot", "resend_verification"):
        return accounts.send_mail(operation, email, context)
    values = {"identifier": email, "code": "made-up-code", "password": password, "new_password": password}
    values |= {"name": "Jun Park", "token": TOKEN}
    if operation == "register":
        return accounts.register(values, {}, context)
    return getattr(accounts, operation)(values, context)


def run_page_call(calls: Calls, operation: str) -> Any:
    if operation in ACCOUNT_CALLS:
        return run_account_call(calls.accounts, operation)
    if operation == "social_register":
        values = {"name": "Jun Park", "email": "jun@example.com", "phone": "01012345678", "provider": "apple"}
        step = Step({}, "made-up-challenge", fields=("name", "email", "phone"))
        return calls.backend.social_register(step, values, {}, a_context()).tokens.access
    return run_link_call(calls.links, calls.apple, operation)


def run_link_call(links: LinkCalls, apple: Registration, operation: str) -> Any:
    if operation == "links":
        return links.list_accounts(TOKEN, USER, a_context())
    if operation == "unlink":
        return links.unlink(TOKEN, USER, LinkedAccount("apple", None), a_context())
    identity = Identity(subject="1", social_token="a+b/c=", email="jun@example.com", email_verified=True)
    return links.link(TOKEN, USER, apple, identity, a_context())


def outcome(client: Calls, operation: str) -> tuple[str, int | None]:
    """The `x-result` of the answer that the server gives, and the seconds to wait."""
    try:
        result = run(client, operation)
    except StepRequired as required:
        return ("NextStepRequired" if required.step.challenge == "made-up-challenge" else "no challenge"), None
    except errors.SiteError as error:
        return error.code, error.retry_after
    revocations: list[tuple[object, str]] = [(Revocation.REVOKED, "revoked"), (Revocation.FAILED, "failed")]
    return next((word for revocation, word in revocations if result is revocation), "accepted"), None


def path_of(operation: str) -> str:
    return str(OPERATIONS[operation][1]).replace("{provider}", "apple")


def test_the_file_is_valid_openapi() -> None:
    assert SPEC["openapi"].startswith("3.1.")
    validate(SPEC)


def test_every_call_of_the_protocol_is_documented() -> None:
    laravel = backends.find("laravel")
    assert set(OPERATIONS) | {"verify_recovery_code"} == {
        *laravel.calls,
        *("logout", "profile", "provider_event"),
        *ACCOUNT_CALLS,
        *LINK_CALLS,
    }
    same_address = {"verify_recovery_code": "verify"}
    for name, call in laravel.calls.items():
        assert OPERATIONS[same_address.get(name, name)][:2] == (call.method, call.path)


def test_the_examples_are_valid_by_their_schemas() -> None:
    assert len(CASES) > 25
    for name, (_, _, operation) in OPERATIONS.items():
        for status, response in operation["responses"].items():
            for content in resolve(response).get("content", {}).values():
                bodies = [case.body for case in CASES if (case.operation, case.status) == (name, int(status))]
                assert bodies
                for body in bodies:
                    validator(content["schema"]).validate(body)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operation} {case.status} {case.result}")
def test_each_documented_answer_has_its_result(client: Calls, server: FaultyBackend, case: Case) -> None:
    body = b"" if case.body is None else case.body
    server.responses[path_of(case.operation)] = keep_alive(http_response(body, case.status, **case.headers))
    assert outcome(client, case.operation) == (case.result, case.headers.get("Retry_After"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_request_is_as_documented(client: Calls, server: FaultyBackend, operation: str) -> None:
    accepted = next(case for case in CASES if case.operation == operation and case.result in ("accepted", "revoked"))
    body = b"" if accepted.body is None else accepted.body
    server.responses[path_of(operation)] = keep_alive(http_response(body, accepted.status))
    run(client, operation)
    (request,) = server.calls
    assert_is_documented(request, operation)


def assert_is_documented(request: RecordedRequest, operation: str) -> None:
    method, _, described = OPERATIONS[operation]
    assert (request.method, request.path) == (method, path_of(operation))
    headers = {
        parameter["name"]: parameter
        for parameter in map(resolve, described["parameters"])
        if parameter["in"] == "header"
    }
    assert {*request.headers} - OF_HTTP <= {*headers}
    assert {name for name, header in headers.items() if header.get("required")} <= {*request.headers}
    assert (request.headers["Authorization"] == f"Bearer {TOKEN}") is (described["security"] == [{"bearer": []}])
    assert "Cookie" not in request.headers
    if content := described.get("requestBody"):
        assert request.headers["Content-Type"] in content["content"]
        validator(content["content"]["application/json"]["schema"]).validate(json.loads(request.body))
    else:
        assert request.body == b""
