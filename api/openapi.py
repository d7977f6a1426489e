"""The OpenAPI 3.1 document, read off the same types that guard and parse."""

from collections.abc import Iterable
from typing import Any, get_args, get_origin

from aiohttp import web
from pydantic import TypeAdapter

from api.contract import MalformedJson, Reply, Route, UnsupportedMedia
from api.middleware import status_of
from api.texts import text
from liveserver.errors import (
    AccountDisabled,
    DatabaseUnavailable,
    ForbiddenRole,
    Invalid,
    NotFound,
    Refusal,
    TokenExpired,
    TokenInvalid,
    TooMany,
    Unauthenticated,
)

_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "requestId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "requestId": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code"],
                "properties": {"field": {"type": "string"}, "code": {"type": "string"}},
            },
        },
    },
}


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Return the whole document; every route is in it, or a test fails."""
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "liveserver", "version": version},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.name.replace("_", " ").capitalize(),
        "parameters": _parameters(route, schemas),
        "responses": _responses(route, schemas),
    }
    if not route.public:
        operation["security"] = [{"bearer": []}]
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {"application/json": {"schema": _schema(route.body, schemas, "validation")}},
        }
    return operation


def _parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": adapter.json_schema(ref_template=_REF),
        }
        for name, adapter in route.ids.items()
    ]
    if route.query is not None:
        schema = TypeAdapter(route.query).json_schema(ref_template=_REF)
        schemas.update(schema.get("$defs", {}))
        required = schema.get("required", [])
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": value}
            for name, value in schema["properties"].items()
        ]
    return parameters


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {str(route.status): _answer(route, schemas)}
    if get_origin(route.answer) is Reply:
        responses |= {str(status): _answer(route, schemas) for status in route.also}
        if type(None) in get_args(get_args(route.answer)[0]):
            responses["304"] = {"description": "not changed since the ETag"}
    by_status: dict[int, list[str]] = {}
    for refusal in _refusals(route):
        by_status.setdefault(status_of(refusal), []).append(refusal.code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "; ".join(f"`{code}`: {text(code, 'en')[0]}" for code in codes),
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return responses


def _refusals(route: Route) -> list[type[Refusal]]:
    found: list[type[Refusal]] = [*route.raises, DatabaseUnavailable]
    # A token that is sent is checked on public routes too.
    found += [TokenExpired, TokenInvalid, AccountDisabled]
    if not route.public:
        found.append(Unauthenticated)
    if route.reads_login:
        found.append(TooMany)
    if route.roles is not None:
        found.append(ForbiddenRole)
    if route.ids:
        found.append(NotFound)
    if route.query is not None or route.body is not None:
        found.append(Invalid)
    if route.body is not None:
        found += [MalformedJson, UnsupportedMedia]
    return list(dict.fromkeys(found))


def _answer(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    answer = route.answer
    if get_origin(answer) is Reply:
        (answer,) = get_args(answer)
    kinds = [kind for kind in get_args(answer) or (answer,) if kind is not type(None)]
    if get_origin(answer) in {list, dict}:
        kinds = [answer]
    content: dict[str, Any] = {}
    documents = []
    for kind in kinds:
        if kind is None:
            continue
        if isinstance(kind, type) and issubclass(kind, web.StreamResponse):
            if route.produces:
                content[route.produces] = {"schema": {"type": "string"}}
        else:
            documents.append(_schema(kind, schemas, "serialization"))
    if documents:
        schema = documents[0] if len(documents) == 1 else {"anyOf": documents}
        content["application/json"] = {"schema": schema}
    return {"description": "done", **({"content": content} if content else {})}


def _schema(kind: Any, schemas: dict[str, Any], mode: Any) -> dict[str, Any]:
    """Return a schema whose models stand under components."""
    schema = TypeAdapter(kind).json_schema(ref_template=_REF, mode=mode)
    schemas.update(schema.pop("$defs", {}))
    if isinstance(kind, type) and schema.get("type") == "object" and "properties" in schema:
        schemas[kind.__name__] = schema
        return {"$ref": _REF.format(model=kind.__name__)}
    return schema
