"""Reads the description of the API, if the backend serves one (OpenAPI 3 or Swagger 2)."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from doctor.sign_in.connection import Connection

_PATHS = (
    "/openapi.json", "/v3/api-docs", "/api/openapi.json", "/swagger.json", "/swagger/v1/swagger.json", "/api-json",
    "/docs-json", "/api/docs-json", "/api-docs", "/api/schema/?format=json", "/schema/?format=json",
)  # fmt: skip
_MAX_DEPTH = 4
"""Levels of a body, and steps of a `$ref`: a schema may contain itself."""


class Operation(NamedTuple):
    method: str
    path: str
    fields: list[str]
    """The fields of its body; a dot for nested ones."""
    required: frozenset[str]
    form: bool

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


def read_operations(connection: Connection) -> list[Operation]:
    """The operations of the first description that is found, with paths below `BACKEND_URL`."""
    base = urlsplit(connection.settings().backend_url).path
    for path in _PATHS:
        answer = connection.probe("user", {}, BACKEND_USER=f"GET {path}")
        document = answer.get("body") if answer and answer.status == 200 else None
        if isinstance(document, dict) and isinstance(document.get("paths"), dict):
            return list(_operations(document, base))
    return []


def _operations(document: Mapping[str, Any], base: str) -> Iterator[Operation]:
    prefix = document.get("basePath") or _server_path(document)
    prefix = prefix.rstrip("/") if isinstance(prefix, str) else ""
    for path, item in document["paths"].items():
        full = prefix + str(path)
        relative = full.removeprefix(base) if full.startswith(f"{base}/") else str(path)
        for method, operation in item.items() if isinstance(item, dict) else ():
            if isinstance(operation, dict) and relative.startswith("/"):
                fields, form = _body(document, operation)
                required = frozenset(name for name, is_required in fields.items() if is_required)
                yield Operation(str(method).upper(), relative, list(fields), required, form)


def _server_path(document: Mapping[str, Any]) -> str:
    servers = document.get("servers")
    url = servers[0].get("url") if isinstance(servers, list) and servers and isinstance(servers[0], dict) else ""
    return urlsplit(url).path if isinstance(url, str) else ""


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[dict[str, bool], bool]:
    """Its fields, each with whether it is required, and whether it is form data."""
    body = _resolve(document, operation.get("requestBody"))
    content = body.get("content")
    if isinstance(content, dict):
        form = not any("json" in kind for kind in content)
        media = next((media for kind, media in content.items() if form or "json" in kind), None)
        schema = media.get("schema") if isinstance(media, dict) else None
        return dict(_fields(document, schema)), form
    parameters = operation.get("parameters")  # Swagger 2
    inputs = [_resolve(document, each) for each in parameters] if isinstance(parameters, list) else []
    in_form = {str(each.get("name")): bool(each.get("required")) for each in inputs if each.get("in") == "formData"}
    bodies = [each.get("schema") for each in inputs if each.get("in") == "body"]
    return in_form or {name: value for body in bodies for name, value in _fields(document, body)}, bool(in_form)


def _fields(
    document: Mapping[str, Any], schema: object, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, bool]]:
    schema = _resolve(document, schema)
    for part in schema.get("allOf") or ():
        yield from _fields(document, part, prefix, depth + 1) if depth < _MAX_DEPTH else ()
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or depth >= _MAX_DEPTH:
        return
    required = required if isinstance(required, list) else []
    for name in properties:
        nested_fields = list(_fields(document, properties[name], f"{prefix}{name}.", depth + 1))
        yield from nested_fields or [(f"{prefix}{name}", name in required)]


def _resolve(document: Mapping[str, Any], value: object) -> Mapping[str, Any]:
    """Follow `$ref` within the document."""
    for _ in range(_MAX_DEPTH):
        reference = value.get("$ref") if isinstance(value, dict) else None
        if not isinstance(reference, str):
            break
        value = document
        for key in reference.removeprefix("#/").split("/"):
            value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
