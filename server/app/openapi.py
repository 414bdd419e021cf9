"""OpenAPI 3.1 from the routes: what stands here is what the runner does."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from server import __version__
from server.app.docs import THROUGH_PORTS
from server.app.edge import API
from server.kernel.actor import Role
from server.kernel.edge import Idempotency, Route
from server.kernel.errors import (
    AuthRequired,
    DomainError,
    Forbidden,
    IdempotencyInProgress,
    IdempotencyMismatch,
    Internal,
    RequestInvalid,
    RequestRateLimited,
    RequestTooLarge,
    Unavailable,
)

_REF: Final = "#/components/schemas/{model}"
_PARAMETER: Final = re.compile(r"{(\w+)}")
_PROBLEM: Final = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "code", "title", "status", "fields", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "fields": {"type": "object"},
        "request_id": {"type": "string"},
    },
}


def openapi(routes: Sequence[Route]) -> dict[str, Any]:
    """The document of these routes."""
    inputs = _models(m for r in routes for m in (r.body, r.query))
    outputs = _models(m for r in routes for m in (r.answer, r.error_answer))
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = [(m, "validation") for m in inputs]
    modes += [(m, "serialization") for m in outputs]
    references, definitions = models_json_schema(modes, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted(routes, key=lambda r: (r.path, r.method)):
        paths.setdefault(API + route.path, {})[route.method.lower()] = _operation(route, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Yunzhen", "version": __version__, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Problem": _PROBLEM},
            "securitySchemes": {
                "session": {"type": "http", "scheme": "bearer"},
                "media_cookie": {"type": "apiKey", "in": "cookie", "name": "yz_media"},
            },
        },
    }


def _models(candidates: Iterable[type[BaseModel] | None]) -> list[type[BaseModel]]:
    return list(dict.fromkeys(m for m in candidates if m is not None))


def _operation(route: Route, references: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag or route.path.split("/")[1]],
        "parameters": _parameters(route),
        "responses": _responses(route, references),
    }
    if Role.ANONYMOUS not in route.roles:
        operation["security"] = [{"session": []}, {"media_cookie": []}] if route.takes_media_cookie else [{"session": []}]
        operation["x-roles"] = sorted(route.roles)
    if route.body is not None:
        schema = references[(route.body, "validation")]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    elif route.reads_request:
        fields = {name: {"type": "string"} for name in route.form_fields}
        form = {
            "type": "object",
            "required": ["file", *fields],
            "properties": {"file": {"type": "string", "format": "binary"}, **fields},
        }
        operation["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    elif route.callback:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _PARAMETER.findall(route.path)
    ]
    if route.query is not None:
        schema = route.query.model_json_schema(ref_template=_REF)
        definitions = schema.get("$defs", {})
        for name, rule in schema["properties"].items():
            inlined = _inline(rule, definitions)
            found.append({"name": name, "in": "query", "required": name in schema.get("required", []), "schema": inlined})
    if _takes_key(route):
        rule = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"}
        required = route.idempotency is Idempotency.REQUIRED
        found.append({"name": "Idempotency-Key", "in": "header", "required": required, "schema": rule})
    return found


def _inline(rule: Any, definitions: dict[str, Any]) -> Any:
    """A query parameter's schema with its enums written out: they are used nowhere else."""
    if isinstance(rule, dict):
        if "$ref" in rule:
            return _inline(definitions[rule["$ref"].rsplit("/", 1)[1]], definitions)
        return {key: _inline(value, definitions) for key, value in rule.items()}
    return [_inline(item, definitions) for item in rule] if isinstance(rule, list) else rule


def _takes_key(route: Route) -> bool:
    return route.method != "GET" and route.idempotency is not Idempotency.NONE and not route.reads_request


def _responses(route: Route, references: Any) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done."}
    if route.answer is not None:
        success["content"] = {"application/json": {"schema": references[(route.answer, "serialization")]}}
    elif route.answer_type != "application/json":
        is_json = route.answer_type.partition(";")[0].endswith("+json")
        raw = {"type": "object"} if is_json else {"type": "string", "format": "binary"}
        success["content"] = {route.answer_type: {"schema": raw}}
    status = 204 if route.answer is None and route.status == 200 and not success.get("content") else route.status
    answers = {str(each): success for each in (status, *route.other_statuses)}
    errors = [*route.errors, *THROUGH_PORTS.get(route.name, ()), *_common_errors(route)]
    failure: dict[str, Any] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if route.error_answer is not None:
        failure = {"application/json": {"schema": references[(route.error_answer, "serialization")]}}
    for status in sorted({_status(e) for e in errors}):
        codes = sorted({e.code for e in errors if _status(e) == status})
        answers[str(status)] = {
            "description": ", ".join(f"`{code}`" for code in codes),
            "content": failure,
        }
    return answers


def _status(error: type[DomainError]) -> int:
    return error().status


def _common_errors(route: Route) -> list[type[DomainError]]:
    errors: list[type[DomainError]] = [RequestInvalid, Unavailable, Internal]
    if not route.callback:
        errors.append(RequestRateLimited)
    if Role.ANONYMOUS not in route.roles:
        errors += [AuthRequired, Forbidden]
    elif not route.callback:
        errors.append(AuthRequired)
    if route.body is not None or route.reads_request or route.callback:
        errors.append(RequestTooLarge)
    if _takes_key(route):
        errors += [IdempotencyMismatch, IdempotencyInProgress]
    return errors
