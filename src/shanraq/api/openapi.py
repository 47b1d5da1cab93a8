"""The published description of the REST interface: OpenAPI 3.1, and 3.0.3 made from it.

Litestar routes and decodes, but its own document says too little for a payment interface (limits as floats, no
`additionalProperties: false`, no discriminators, foreign error bodies). This one is written from the same declarations:
signatures and docstrings of the routes, and msgspec's schemas of the very structs that are decoded and encoded.

A route adds the refusals of its own with `responses=problems(404, 409)`; those every route of its kind can give are added
here. A struct may carry `EXAMPLE: ClassVar`, which has to decode as that struct.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from litestar import Litestar, Response, get
from litestar.enums import ParamType
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import ParameterKwarg
from litestar.routes import HTTPRoute
from litestar.types import ControllerRouterHandler, Empty
from litestar.utils import get_enum_string_value

from shanraq.api import problems as problem_table
from shanraq.api.openapi30 import to_openapi_30
from shanraq.api.problems import Problem
from shanraq.api.xml import XmlAnswer

_REFERENCE: Final = "#/components/schemas/{name}"
_RESERVED: Final = frozenset(("data", "request", "scope", "state", "headers", "cookies", "query", "body", "socket"))
_LIMITS: Final = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length")
_SECURITY: Final = ("api_key", "operator", "signature")
_IDEMPOTENCY_KEY: Final = "Idempotency-Key"

_DESCRIPTION: Final = """\
Amounts are integers in minor units (`1500` is 15.00 KZT). Times are RFC 3339 in UTC.

Requests are read strictly: unknown fields, repeated fields, `"5"` or `5.0` for an integer, and query parameters that are
not documented are refused. Unknown fields in answers are not an error: new ones may come.

A request that moves money needs an `Idempotency-Key`. Sent again with the same key and the same body it has no second
effect and gets the same answer, with `Idempotent-Replayed: true`.

Every refusal is `application/problem+json` (RFC 9457); its `code` is stable and explained at `/problems/{code}`. Every
answer carries `Shanraq-Request-Id`.
"""

_TAGS: Final[Mapping[str, str]] = {
    "Operations": "Whether the process is up and can do its work.",
    "Problems": "What the codes of refusals mean.",
}

_SCHEMES: Final = {
    "api_key": {
        "type": "http",
        "scheme": "basic",
        "description": "An API key: its id as user, its secret as password (RFC 7617).",
    },
    "operator": {"type": "http", "scheme": "bearer", "description": "An operator's token (RFC 6750)."},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Shanraq-Signature",
        "description": (
            "`v1=` and the HMAC-SHA-256, in lower-case hexadecimal, under the signing secret of an API key, of six lines "
            "joined by newlines: `v1`, timestamp, nonce, method, path with query, lower-case hexadecimal SHA-256 of the "
            "body. Sent with `Shanraq-Key` (the key's id), `Shanraq-Timestamp` (Unix seconds) and `Shanraq-Nonce` (16 to 64 "
            "characters, another one for every request)."
        ),
    },
}

_HEADERS: Final[dict[str, Any]] = {
    "RequestId": {"description": "Names this request in our logs.", "schema": {"type": "string"}},
    "RateLimitLimit": {
        "description": "Requests allowed at once.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "RateLimitRemaining": {"description": "Requests left now.", "schema": {"type": "integer", "minimum": 0}},
    "RateLimitReset": {
        "description": "Seconds until all of them are there again.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "RetryAfter": {
        "description": "Seconds after which another attempt makes sense.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WwwAuthenticate": {"description": "The kinds of credentials there are.", "schema": {"type": "string"}},
    "IdempotentReplayed": {
        "description": "`true` if this answer had been given before to the same Idempotency-Key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
}
_RATE_HEADERS: Final = {
    "RateLimit-Limit": {"$ref": "#/components/headers/RateLimitLimit"},
    "RateLimit-Remaining": {"$ref": "#/components/headers/RateLimitRemaining"},
    "RateLimit-Reset": {"$ref": "#/components/headers/RateLimitReset"},
}

_KEY_PARAMETER: Final = {
    "name": _IDEMPOTENCY_KEY,
    "in": "header",
    "required": True,
    "description": (
        "Any text of 1 to 255 visible ASCII characters that names this one request, such as a UUID; bare or quoted "
        "(draft-ietf-httpapi-idempotency-key-header)."
    ),
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$"},
    "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
}

# What a status means here, for the example of its response.
_EXAMPLE_CODES: Final = {
    400: "invalid_field", 401: "missing_credentials", 403: "missing_scope", 404: "not_found", 406: "not_acceptable",
    408: "body_timeout", 409: "conflict", 413: "body_too_large", 415: "unsupported_media_type", 422: "refused",
    429: "too_many_requests", 500: "internal_error", 503: "unavailable",
}  # fmt: skip


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """Declare the refusals a route gives beyond those of its kind: `responses=problems(404, 409)`."""
    if unknown := set(statuses) - _EXAMPLE_CODES.keys():
        raise ValueError(f"no refusal has the status {unknown}")
    return {
        status: ResponseSpec(Problem, generate_examples=False, media_type=problem_table.MEDIA_TYPE)
        for status in statuses
    }


@dataclass(frozen=True, slots=True)
class ParameterOfRoute:
    """A parameter as the route's signature declares it."""

    name: str
    place: Literal["path", "query", "header", "cookie"]
    required: bool
    repeatable: bool
    integer: bool
    kind: Any
    default: Any
    description: str


def parameters_of(handler: Any) -> Iterator[ParameterOfRoute]:
    """Read the parameters of a route from its signature, in its order."""
    dependencies = handler.resolve_dependencies()
    for name, field in handler.parsed_fn_signature.parameters.items():
        declared = field.kwarg_definition
        if name in _RESERVED or name in dependencies or not isinstance(declared, ParameterKwarg):
            continue
        limits = {limit: getattr(declared, limit) for limit in _LIMITS if getattr(declared, limit) is not None}
        kind = _without_none(field.annotation)
        yield ParameterOfRoute(
            name=declared.name or name,
            place=_PLACES[declared.param_type],
            required=declared.param_type is ParamType.PATH or not (field.is_optional or field.has_default),
            repeatable=field.is_non_string_sequence,
            integer=kind is int,
            kind=_limited(kind, limits),
            default=field.default if field.has_default and field.default is not Empty else None,
            description=declared.description or "",
        )


_PLACES: Final[dict[ParamType, Literal["path", "query", "header", "cookie"]]] = {
    ParamType.PATH: "path",
    ParamType.QUERY: "query",
    ParamType.HEADER: "header",
    ParamType.COOKIE: "cookie",
}


def _limited(kind: Any, limits: dict[str, Any]) -> Any:
    return Annotated[kind, msgspec.Meta(**limits)] if limits else kind


def _without_none(kind: Any) -> Any:
    """Return the type without None: a query or a header cannot carry one."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    members = tuple(member for member in get_args(kind) if member is not type(None))
    return members[0] if len(members) == 1 else Union[members]  # noqa: UP007  # a union of types known at run time


class Document:
    """The published document of an application: written at the first call, the same bytes every time."""

    def __init__(self, version: str, *, tags: Mapping[str, str] | None = None) -> None:
        self._version = version
        self._tags = {**_TAGS, **(tags or {})}
        self._document: dict[str, Any] | None = None
        self._bytes: dict[str, bytes] = {}

    def of(self, app: Litestar) -> dict[str, Any]:
        """Describe the routes of an application; raise TypeError for one that cannot be described."""
        self._document = describe(app, self._version, self._tags)
        self._bytes.clear()
        return self._document

    def openapi_31(self) -> bytes:
        """Return the 3.1 document as JSON."""
        return self._written("3.1")

    def openapi_30(self) -> bytes:
        """Return the 3.0.3 document as JSON."""
        return self._written("3.0")

    def _written(self, version: str) -> bytes:
        if version not in self._bytes:
            assert self._document is not None, "of() comes first"
            document = self._document if version == "3.1" else to_openapi_30(self._document)
            text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
            self._bytes[version] = text.encode() + b"\n"
        return self._bytes[version]

    def routes(self) -> list[ControllerRouterHandler]:
        """Return the routes that serve the document."""
        opt = {"public": True, "unlimited": True}

        @get(["/openapi.json", "/openapi-3.1.json"], opt=opt, include_in_schema=False, sync_to_thread=False)
        def show_31() -> Response[bytes]:
            return _document_answer(self.openapi_31())

        @get("/openapi-3.0.json", opt=opt, include_in_schema=False, sync_to_thread=False)
        def show_30() -> Response[bytes]:
            return _document_answer(self.openapi_30())

        return [show_31, show_30]


def _document_answer(document: bytes) -> Response[bytes]:
    return Response(document, media_type="application/json", headers={"Cache-Control": "no-cache"})


def describe(app: Litestar, version: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the routes of an application."""
    operations = [_Operation(route, handler) for route in app.routes if isinstance(route, HTTPRoute)
                  for handler in route.route_handlers if handler.resolve_include_in_schema()]  # fmt: skip
    names = [operation.operation_id for operation in operations]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"operation ids must be unique: {', '.join(sorted(repeated))}")
    schemas, components = _schemas([kind for operation in operations for kind in operation.kinds()])
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation.described(schemas)
    used_statuses = sorted({status for operation in operations for status in operation.problems})
    used_tags = sorted({tag for operation in operations for tag in operation.tags})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Shanraq",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, **({"description": tags[tag]} if tag in tags else {})} for tag in used_tags],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {_response_name(status): _problem_response(status) for status in used_statuses},
            "headers": _HEADERS,
            "parameters": {"IdempotencyKey": _KEY_PARAMETER},
            "securitySchemes": _SCHEMES,
        },
    }


def _schemas(kinds: Sequence[Any]) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """Return the schema of each type, and the components they refer to."""
    distinct = list(dict.fromkeys([Problem, *kinds]))
    schemas, components = msgspec.json.schema_components(distinct, ref_template=_REFERENCE)
    structs: dict[str, Any] = {}
    for kind in distinct:
        _collect_structs(kind, structs)
    for name, struct in structs.items():
        example = getattr(struct, "EXAMPLE", None)
        if example is not None and name in components:
            msgspec.json.decode(msgspec.json.encode(example), type=struct)
            components[name]["examples"] = [msgspec.to_builtins(example)]
    return dict(zip(distinct, schemas, strict=True)), components


def _collect_structs(kind: Any, found: dict[str, Any]) -> None:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind.__name__ not in found:
            found[kind.__name__] = kind
            for field in msgspec.structs.fields(kind):
                _collect_structs(field.type, found)
        return
    for member in get_args(kind):
        _collect_structs(member, found)


def _response_name(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")


def _problem_response(status: int) -> dict[str, Any]:
    code = _EXAMPLE_CODES[status]
    explained = problem_table.explain(code)
    example = Problem(
        type=f"/problems/{code}",
        title=explained.title,
        status=status,
        code=code,
        detail=explained.title,
        request_id="req_01JDK7ZC3V0X2Q9M5R8T6W4Y1B",
    )
    headers = {"Shanraq-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if status in (429, 503):
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    if status == 429:
        headers |= _RATE_HEADERS
    if status == 401:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WwwAuthenticate"}
    return {
        "description": HTTPStatus(status).phrase,
        "headers": headers,
        "content": {
            problem_table.MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": msgspec.to_builtins(example),
            }
        },
    }


class _Operation:
    """One route, as the document tells it."""

    def __init__(self, route: HTTPRoute, handler: Any) -> None:
        methods = sorted(handler.http_methods)
        self.path = route.path_format or "/"
        if len(methods) != 1 or not isinstance(handler.operation_id, str):
            raise TypeError(f"{' '.join(methods)} {self.path}: a route needs one method and an operation_id")
        self.method = methods[0].lower()
        self.operation_id: str = handler.operation_id
        self.tags: list[str] = handler.resolve_tags()
        self._handler = handler
        self._public = bool(handler.opt.get("public"))
        self._upload: tuple[str, ...] = handler.opt.get("upload", ())
        self._parameters = list(parameters_of(handler))
        self._keyed = any(parameter.name == _IDEMPOTENCY_KEY for parameter in self._parameters)
        self._body = handler.parsed_data_field.annotation if handler.parsed_data_field is not None else None
        self._answer = _answer_type(handler.parsed_fn_signature.return_type.annotation)
        self._more_answers: dict[int, Any] = dict(handler.opt.get("answers", {}))
        declared = handler.responses or {}
        self.problems = self._problems_of_its_kind() | {
            status for status, spec in declared.items() if spec.data_container is Problem
        }
        self._more_answers |= {
            status: spec.data_container for status, spec in declared.items() if spec.data_container is not Problem
        }
        self.problems -= self._more_answers.keys()

    def _problems_of_its_kind(self) -> set[int]:
        statuses = {400, 406, 500}
        if not self._handler.opt.get("unlimited"):
            statuses |= {429}
        if not self._public:
            statuses |= {401, 403, 503}
        if self._body is not None or self._upload:
            statuses |= {408, 413, 415}
        if any(parameter.place == "path" for parameter in self._parameters):
            statuses |= {404}
        if self._keyed:
            statuses |= {409, 422}
        return statuses

    def kinds(self) -> Iterator[Any]:
        """Return every type this operation shows."""
        for kind in (self._body, self._answer, *self._more_answers.values()):
            if kind is not None:
                yield kind
        for parameter in self._parameters:
            yield parameter.kind

    def described(self, schemas: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
        """Return the operation object."""
        handler = self._handler
        summary, _, description = inspect.cleandoc(handler.fn.__doc__ or "").partition("\n")
        if not summary:
            raise TypeError(f"{self.operation_id}: the docstring says what the route does")
        scope = handler.opt.get("scope")
        if scope not in (None, "*"):
            description = f"{description.strip()}\n\nNeeds the scope `{scope}`.".strip()
        operation: dict[str, Any] = {
            "operationId": self.operation_id,
            "tags": self.tags,
            "summary": summary.rstrip("."),
            "responses": self._responses(schemas),
            "security": [] if self._public else [{name: []} for name in handler.opt.get("security", _SECURITY)],
        }
        if description.strip():
            operation["description"] = description.strip()
        if scope is not None:
            operation["x-scope"] = scope
        if self._parameters:
            operation["parameters"] = [_parameter(parameter, schemas) for parameter in self._parameters]
        if self._body is not None:
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": schemas[self._body]}},
            }
        if self._upload:
            content = {media_type: {"schema": {"type": "string"}} for media_type in self._upload}
            operation["requestBody"] = {
                "required": True,
                "description": "The file; it may be compressed (`Content-Encoding: gzip`).",
                "content": content,
            }
        if handler.deprecated:
            operation["deprecated"] = True
        return operation

    def _responses(self, schemas: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
        responses: dict[str, Any] = {
            str(status): {"$ref": f"#/components/responses/{_response_name(status)}"} for status in self.problems
        }
        for status, kind in {self._handler.status_code: self._answer, **self._more_answers}.items():
            headers = {"Shanraq-Request-Id": {"$ref": "#/components/headers/RequestId"}}
            if not self._handler.opt.get("unlimited"):
                headers |= _RATE_HEADERS
            if self._keyed and status < 300:
                headers["Idempotent-Replayed"] = {"$ref": "#/components/headers/IdempotentReplayed"}
            response: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": headers}
            if kind is not None:
                media_type = get_enum_string_value(self._handler.media_type or "application/json")
                response["content"] = {media_type: {"schema": schemas[kind]}}
            responses[str(status)] = response
        return dict(sorted(responses.items()))


def _answer_type(annotation: Any) -> Any:
    """Return what a route answers with, without the response around it; None for nothing."""
    if annotation is XmlAnswer:
        return str
    if isinstance(origin := get_origin(annotation), type) and issubclass(origin, Response):
        annotation = get_args(annotation)[0]
    return None if annotation in (None, type(None)) else annotation


def _parameter(parameter: ParameterOfRoute, schemas: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    if parameter.name == _IDEMPOTENCY_KEY:
        return {"$ref": "#/components/parameters/IdempotencyKey"}
    schema = schemas[parameter.kind]
    if parameter.default is not None:
        schema = {**schema, "default": msgspec.to_builtins(parameter.default)}
    described: dict[str, Any] = {"name": parameter.name, "in": parameter.place, "schema": schema}
    if parameter.required:
        described["required"] = True
    if parameter.description:
        described["description"] = parameter.description
    return described
