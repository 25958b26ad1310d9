"""Makes a stand-in of a provider's file in `providers/`: its addresses, its client authentication and its examples."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import providers.base
from dev.personas import PERSONS, Person
from dev.providers.base import STANDARD_SCOPES, Account, Json, Persona, Provider, default_settings
from providers.base import Example, ProviderResponses, Registration

_USERINFO_PATH = "/userinfo"


def stand_in(provider: providers.base.Provider) -> Provider:
    further = {
        name: str(spec.default or spec.example)
        for name, spec in provider.settings.items()
        if spec.default or spec.required
    }
    registration = Registration(provider, {"CLIENT_ID": None, "CLIENT_SECRET": None, **further})
    user_urls = [registration.url(url) for url in (provider.user_url, provider.optional_url) if url]
    return Provider(
        id=provider.id,
        name=provider.label["en"],
        client_id=f"{provider.id}-development",
        personas=_personas(provider, [urlsplit(url).path for url in user_urls]),
        authorization_path=urlsplit(registration.url(provider.authorize_url)).path,
        token_path=urlsplit(registration.url(provider.token_url)).path,
        account=lambda *documents: _account(provider, *documents),
        jwks_url=registration.url(provider.keys_url) if provider.keys_url else "",
        user_urls=tuple(user_urls),
        social_token=provider.backend_token,
        issuer=provider.issuer or "",
        issuers=registration.issuers,
        id_token="always" if provider.is_oidc else "never",
        # Without another scope of the provider, such as `user:read:email`, nothing is left out.
        scopes={name: claims for name, claims in STANDARD_SCOPES.items() if name in provider.scope.split()},
        algorithm=provider.algorithms[0],
        discovery_path="/.well-known/openid-configuration" if provider.is_oidc else "",
        logout_path=urlsplit(registration.url(provider.logout_url)).path if provider.logout_url else "",
        logout_redirect_param=provider.logout_redirect_param,
        auth_methods=(provider.client_auth,),
        required_token_parameters=provider.token_params,
        settings=lambda url, secret: default_settings(url, secret) | further,
    )


def _personas(provider: providers.base.Provider, paths: list[str]) -> tuple[Persona, ...]:
    examples = [example for example in provider.examples if example.identity]
    personas = [_persona(person.key, person.description, _as(person, examples), paths) for person in PERSONS]
    for number, example in enumerate(examples[1:], 2):
        personas.append(_persona(f"example-{number}", example.description, example, paths))
    return tuple(personas)


def _persona(key: str, description: str, example: Example, paths: list[str]) -> Persona:
    user = dict(example.claims) if example.user is None else example.user
    responses = zip(paths or [_USERINFO_PATH], (user, example.extra), strict=False)
    documents = {path: response for path, response in responses if response is not None}
    subject = example.identity.subject if example.identity else ""
    return Persona(key, description, str(subject), dict(example.claims), documents)


def _as(person: Person, examples: list[Example]) -> Example:
    """The responses about this person: the values of the example's user are replaced, or left out."""
    unverified = [
        example
        for example in examples
        if example.identity and example.identity.email and not example.identity.email_verified
    ]
    example = unverified[0] if person.email and not person.email_verified and unverified else examples[0]
    identity = example.identity
    if identity is None:
        return example
    subject = (
        identity.subject + person.number
        if isinstance(identity.subject, int)
        else f"{identity.subject}{person.number:07}"
    )
    values: list[tuple[Any, Any]] = [
        (identity.subject, subject),
        (identity.email, person.email),
        (identity.picture, person.picture),
        (identity.name, person.name),
        (identity.nickname, person.nickname),
    ]
    changes = {old: new for old, new in reversed(values) if old is not None}
    return replace(
        example,
        identity=replace(identity, subject=subject),
        claims=_replaced(example.claims, changes),
        user=_replaced(example.user, changes),
        extra=_replaced(example.extra, changes),
    )


def _replaced(value: Any, changes: Mapping[Any, Any]) -> Any:
    """`value` with other texts and numbers in it. What becomes None is left out."""
    if isinstance(value, Mapping):
        members = {name: _replaced(member, changes) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not None or value[name] is None}
    if isinstance(value, list):
        return [_replaced(item, changes) for item in value]
    return changes.get(value, value) if isinstance(value, str | int) and not isinstance(value, bool) else value


def _account(provider: providers.base.Provider, *documents: Json) -> Account:
    """What a backend reads from the responses: the same as the site."""
    claims = documents[0] if provider.is_oidc else {}
    user, extra = (*documents, None, None)[:2]
    identity = provider.identity(ProviderResponses(claims, user, extra))
    return Account(str(identity.subject), identity.name, identity.nickname, identity.email)
