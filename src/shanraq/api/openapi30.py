"""Write an OpenAPI 3.1 document as OpenAPI 3.0.3, for the tools that read no other.

A document is walked by position, not by key name: the keys of `properties`, of `components.schemas`, of responses and of
callbacks are names, and the values of `default`, `enum`, `example`, `examples` and of every `x-` key belong to their author.

Where 3.0.3 cannot say what 3.1 says, the answer is looser, never stricter: whatever the 3.1 schema accepts is accepted.
A branch that became looser is therefore neither negated by `not` nor counted by `oneOf`.

Sources: OpenAPI 3.1.0 and 3.0.3; the clarification of `nullable` of 2019-10-31, by which `nullable` only works beside
`type`; JSON Schema 2020-12.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any
from urllib.parse import unquote

_METHODS = frozenset(("get", "put", "post", "delete", "options", "head", "patch", "trace"))
_COMPONENT_PREFIX = "#/components/schemas/"

# What describes a value and never refuses one.
_ANNOTATIONS = frozenset(
    ("title", "description", "default", "example", "deprecated", "readOnly", "writeOnly", "externalDocs", "xml")
)
# What means the same in both versions, beside the annotations.
_SHARED = frozenset(("pattern", "uniqueItems", "format", "discriminator"))
_COUNTS = frozenset(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"))
_COMBINATIONS = ("allOf", "anyOf", "oneOf")
# What looks past the type of a value, so that adding null to the type is not enough to accept null.
_APPLICATORS = frozenset((*_COMBINATIONS, "$ref", "$dynamicRef", "not", "if", "then", "else"))
# What 3.0.3 cannot say at all.
_LOST = frozenset(
    {
        "propertyNames", "patternProperties", "dependentRequired", "dependentSchemas", "unevaluatedProperties",
        "unevaluatedItems", "contains", "if", "then", "else", "$dynamicRef",
    }
)  # fmt: skip
_KEYWORDS_OF_TYPE = {
    "string": ("minLength", "maxLength", "pattern"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "boolean": (),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
}
_TYPED_KEYWORDS = frozenset(key for keywords in _KEYWORDS_OF_TYPE.values() for key in keywords)


def to_openapi_30(document: dict[str, Any]) -> dict[str, Any]:
    """Return the 3.1 document as a 3.0.3 document; the argument is left as it is."""
    loose: frozenset[str] = frozenset()
    while True:
        # A schema is loose also when it refers to a loose one, which may come later: repeat until nothing is added.
        conversion = _Conversion(document, loose)
        converted = conversion.document()
        if conversion.loose == loose:
            return converted
        loose = conversion.loose


class _Conversion:
    """One walk over a document. `loose` names the component schemas that say less than their 3.1 form."""

    def __init__(self, document: dict[str, Any], loose: frozenset[str]) -> None:
        self._document = deepcopy(document)
        components = self._document.get("components", {})
        self._schemas: dict[str, Any] = components.get("schemas", {})
        declared = components.get("securitySchemes", {})
        self._security_types = _security_types(declared)
        self._unknown_security = declared.keys() - self._security_types.keys()
        self._known_loose = loose
        self.loose = loose
        self._losses = 0
        self._enclosing: list[dict[str, Any]] = []
        # Schemas that were reachable by a longer pointer only, by identity: (the schema, its new component name).
        self._moved: dict[int, tuple[Any, str]] = {id(schema): (schema, name) for name, schema in self._schemas.items()}
        self._moved_converted: dict[str, Any] = {}

    # The document.

    def document(self) -> dict[str, Any]:
        before = self._document
        after = {key: value for key, value in before.items() if key not in ("jsonSchemaDialect", "webhooks")}
        after["openapi"] = "3.0.3"
        after["info"] = _info(before.get("info", {}))
        after["paths"] = self._named(before.get("paths", {}), self._path_item)
        if "security" in before:
            after["security"] = self._security(before["security"])
        if "components" in before:
            after["components"] = self._components(before["components"])
        if self._moved_converted:
            components = after.setdefault("components", {})
            components["schemas"] = {**components.get("schemas", {}), **self._moved_converted}
        return after

    def _components(self, before: dict[str, Any]) -> dict[str, Any]:
        parts: dict[str, Callable[[str, Any], dict[str, Any]]] = {
            "schemas": self._component_schema,
            "responses": lambda _, value: self._response(value),
            "parameters": lambda _, value: self._parameter(value),
            "requestBodies": lambda _, value: self._request_body(value),
            "headers": lambda _, value: self._parameter(value),
            "callbacks": lambda _, value: self._callback(value),
            "examples": lambda _, value: _reference_or(value),
            "links": lambda _, value: _reference_or(value),
            "securitySchemes": lambda _, value: _reference_or(value),
        }
        after: dict[str, Any] = {}
        for part, members in before.items():
            if part == "pathItems":
                continue
            if part == "securitySchemes":
                members = {name: scheme for name, scheme in members.items() if name not in self._unknown_security}
            convert = parts.get(part)
            after[part] = {n: convert(n, member) for n, member in members.items()} if convert else members
        return after

    def _component_schema(self, name: str, before: Any, enclosing: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        losses = self._losses
        outside, self._enclosing = self._enclosing, [*enclosing]
        after = self._schema(before)
        self._enclosing = outside
        if self._losses > losses:
            self.loose |= {name}
        return after

    @staticmethod
    def _named(before: dict[str, Any], convert: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Convert the members of a map whose keys are names, beside its `x-` keys."""
        return {name: value if name.startswith("x-") else convert(value) for name, value in before.items()}

    def _path_item(self, before: dict[str, Any]) -> dict[str, Any]:
        seen: set[str] = set()
        while (reference := before.get("$ref", "")).startswith(("#/components/pathItems/", "#/webhooks/")):
            path = _resolve(self._document, reference)
            if reference in seen or not path:
                break
            seen.add(reference)
            before = {**path[-1], **{key: value for key, value in before.items() if key != "$ref"}}
        after: dict[str, Any] = {}
        for key, value in before.items():
            if key in _METHODS:
                after[key] = self._operation(value)
            elif key == "parameters":
                after[key] = [self._parameter(parameter) for parameter in value]
            else:
                after[key] = value
        return after

    def _operation(self, before: dict[str, Any]) -> dict[str, Any]:
        after = dict(before)
        if "parameters" in before:
            after["parameters"] = [self._parameter(parameter) for parameter in before["parameters"]]
        if "requestBody" in before:
            after["requestBody"] = self._request_body(before["requestBody"])
        if "callbacks" in before:
            after["callbacks"] = {name: self._callback(callback) for name, callback in before["callbacks"].items()}
        if "security" in before:
            after["security"] = self._security(before["security"])
        responses = before.get("responses") or {"default": {"description": "Response"}}
        after["responses"] = self._named(responses, self._response)
        return after

    def _callback(self, before: dict[str, Any]) -> dict[str, Any]:
        return _reference(before) or self._named(before, self._path_item)

    def _parameter(self, before: dict[str, Any]) -> dict[str, Any]:
        """Convert a parameter or a header: both hold a schema or a content, and a map of examples."""
        if reference := _reference(before):
            return reference
        after = self._media_type(before)
        if "content" in before:
            after["content"] = self._content(before["content"])
        return after

    def _request_body(self, before: dict[str, Any]) -> dict[str, Any]:
        if reference := _reference(before):
            return reference
        return {**before, "content": self._content(before["content"])} if "content" in before else before

    def _response(self, before: dict[str, Any]) -> dict[str, Any]:
        if reference := _reference(before):
            return reference
        after = dict(before)
        if "headers" in before:
            after["headers"] = {name: self._parameter(header) for name, header in before["headers"].items()}
        if "content" in before:
            after["content"] = self._content(before["content"])
        if "links" in before:
            after["links"] = {name: _reference_or(link) for name, link in before["links"].items()}
        return after

    def _content(self, before: dict[str, Any]) -> dict[str, Any]:
        return {media_type: self._media_type(value) for media_type, value in before.items()}

    def _media_type(self, before: dict[str, Any]) -> dict[str, Any]:
        after = dict(before)
        if "schema" in before:
            after["schema"] = self._schema(before["schema"])
        if "examples" in before:
            after["examples"] = {name: _reference_or(example) for name, example in before["examples"].items()}
        if "encoding" in before:
            after["encoding"] = {name: self._encoding(encoding) for name, encoding in before["encoding"].items()}
        return after

    def _encoding(self, before: dict[str, Any]) -> dict[str, Any]:
        if "headers" not in before:
            return before
        return {**before, "headers": {name: self._parameter(header) for name, header in before["headers"].items()}}

    def _security(self, before: list[dict[str, list[str]]]) -> list[dict[str, list[str]]]:
        """Drop what 3.0.3 cannot name; an alternative that only consisted of it goes, as `{}` would mean "nobody"."""
        after = []
        for requirement in before:
            kept = {
                name: scopes if self._security_types.get(name, "oauth2") in ("oauth2", "openIdConnect") else []
                for name, scopes in requirement.items()
                if name not in self._unknown_security
            }
            if kept or not requirement:
                after.append(kept)
        return after

    # Schemas.

    def _schema(self, before: Any) -> dict[str, Any]:
        if isinstance(before, bool):
            return {} if before else {"not": {}}
        schema = _fold_null(before)
        self._enclosing.append(schema)
        try:
            return self._open_schema(schema)
        finally:
            self._enclosing.pop()

    def _open_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        if not _LOST.isdisjoint(schema):
            self._losses += 1
        after: dict[str, Any] = {}
        for key, value in schema.items():
            if key.startswith("x-") or key in _ANNOTATIONS or key in _SHARED:
                after[key] = value
            elif key in _COUNTS:
                after[key] = _integral(value)
            elif key == "examples" and value and "example" not in schema:
                after["example"] = value[0]
            elif key == "required" and value:
                after[key] = value
            elif key == "properties":
                after[key] = {name: self._schema(member) for name, member in value.items()}
            elif key == "allOf":
                after[key] = [self._schema(member) for member in value]
        if "discriminator" in schema:
            after["discriminator"] = self._discriminator(schema["discriminator"])
        self._alternatives(schema, after)
        self._negation(schema, after)
        self._additional_properties(schema, after)
        self._items(schema, after)
        _content_format(schema, after)
        values = _values(schema)
        # An enum needs no type, except that nullable does nothing without one.
        types = _types(schema) if "type" in schema or (values is not None and None in values) else None
        _limits(schema, after, integers="integer" in (types or ()))
        after = _typed(after, types, values)
        if isinstance(reference := schema.get("$ref"), str):
            reference = self._placed(reference)
            if reference.removeprefix(_COMPONENT_PREFIX) in self._known_loose:
                self._losses += 1
            if not after:
                return {"$ref": reference}
            after["allOf"] = [{"$ref": reference}, *after.get("allOf", ())]
        return after

    def _alternatives(self, schema: dict[str, Any], after: dict[str, Any]) -> None:
        if "anyOf" in schema:
            after["anyOf"] = [self._schema(branch) for branch in schema["anyOf"]]
        if "oneOf" in schema:
            losses = self._losses
            branches = [self._schema(branch) for branch in schema["oneOf"]]
            if self._losses > losses and "discriminator" not in schema:
                # Two loosened branches may match the same value, which oneOf would refuse.
                _all_of(after, "anyOf", branches)
            else:
                after["oneOf"] = branches

    def _negation(self, schema: dict[str, Any], after: dict[str, Any]) -> None:
        if "not" in schema:
            losses = self._losses
            negated = self._schema(schema["not"])
            if self._losses == losses:
                after["not"] = negated

    def _additional_properties(self, schema: dict[str, Any], after: dict[str, Any]) -> None:
        if "additionalProperties" not in schema:
            return
        before = schema["additionalProperties"]
        patterns = list(schema.get("patternProperties", {}).values())
        if patterns and before is not True:
            # Without its patterns, additionalProperties would refuse what the patterns allow.
            before = {"anyOf": patterns if before is False else [*patterns, before]}
        after["additionalProperties"] = before if isinstance(before, bool) else self._schema(before)

    def _items(self, schema: dict[str, Any], after: dict[str, Any]) -> None:
        if "prefixItems" not in schema:
            if "items" in schema:
                after["items"] = self._schema(schema["items"])
            return
        members = [*schema["prefixItems"]]
        rest = schema.get("items", True)
        if rest is False:
            after["maxItems"] = min(len(members), after.get("maxItems", len(members)))
        else:
            members.append(rest)
        converted = _distinct(map(self._schema, members))
        if {} in converted:
            converted = [{}]
        if len(converted) > 1 or rest is True:
            self._losses += 1
        after["items"] = converted[0] if len(converted) == 1 else {"anyOf": converted}

    def _discriminator(self, before: dict[str, Any]) -> dict[str, Any]:
        if "mapping" not in before:
            return before
        return {**before, "mapping": {tag: self._placed(target) for tag, target in before["mapping"].items()}}

    def _placed(self, reference: str) -> str:
        """Return a reference that is good in 3.0.3: a pointer into a schema gets a component of its own."""
        if not reference.startswith("#"):
            return reference
        if reference.startswith(_COMPONENT_PREFIX) and "/" not in reference.removeprefix(_COMPONENT_PREFIX):
            return reference
        # JSON Schema reads the pointer from an enclosing schema, OpenAPI from the document.
        roots = [*reversed(self._enclosing), self._document] if reference != "#" else self._enclosing[:1]
        path = next((path for root in roots if (path := _resolve(root, reference))), None)
        if path is None or not isinstance(found := path[-1], (dict, bool)):
            return reference
        if id(found) not in self._moved:
            name = self._free_name(reference.rpartition("/")[2])
            self._moved[id(found)] = (found, name)
            self._moved_converted[name] = {}
            enclosing = [schema for schema in path[:-1] if isinstance(schema, dict)]
            self._moved_converted[name] = self._component_schema(name, found, enclosing)
        return _COMPONENT_PREFIX + self._moved[id(found)][1]

    def _free_name(self, wanted: str) -> str:
        base = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(wanted)) or "Schema"
        taken = {*self._schemas, *self._moved_converted}
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        return name


# Null, in the words of 3.1: the null branch of an alternative becomes a type of one of its other branches.


def _fold_null(schema: dict[str, Any]) -> dict[str, Any]:
    for key in ("oneOf", "anyOf"):
        branches = schema.get(key)
        if not isinstance(branches, list) or not any(map(_only_null, branches)):
            continue
        others = [branch for branch in branches if not _only_null(branch)]
        rest = {name: value for name, value in schema.items() if name not in (key, "discriminator")}
        if not others or (key == "oneOf" and len(branches) - len(others) > 1):
            continue  # oneOf with two null branches refuses null, and so do two null branches of 3.0.3.
        if "discriminator" in schema:
            inner = {key: others, "discriminator": schema["discriminator"]}
            schema = _all_of(rest, "anyOf", [inner, {"type": "null"}])
            continue
        if key == "anyOf" and any(map(_takes_null, others)):
            schema = {**rest, key: others}
            continue
        target = next((i for i in reversed(range(len(others))) if _can_take_null(others[i])), None)
        if target is None:
            continue
        others[target] = _with_null(others[target])
        if len(others) == 1 and all(_is_annotation(name) for name in rest):
            return {**others[0], **rest}
        schema = {**rest, key: others}
    return schema


def _is_annotation(keyword: str) -> bool:
    return keyword in _ANNOTATIONS or keyword == "examples" or keyword.startswith("x-")


def _only_null(schema: Any) -> bool:
    if not isinstance(schema, dict) or not _APPLICATORS.isdisjoint(schema):
        return False
    types, values = _types(schema), _values(schema)
    if values is None:
        return types == ["null"]
    return values == [None] and (types is None or "null" in types)


def _takes_null(schema: Any) -> bool:
    """Tell whether the schema surely accepts null; False where it is not plain to see."""
    if schema is True or schema == {}:
        return True
    if not isinstance(schema, dict) or not _APPLICATORS.isdisjoint(schema):
        return False
    types, values = _types(schema), _values(schema)
    return types is not None and "null" in types and (values is None or None in values)


def _can_take_null(schema: Any) -> bool:
    if not isinstance(schema, dict) or not _APPLICATORS.isdisjoint(schema):
        return False
    return _types(schema) is not None and not _takes_null(schema)


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    types, values = _types(schema), _values(schema)
    assert types is not None
    changed = {key: value for key, value in schema.items() if key not in ("const", "enum")}
    changed["type"] = types if "null" in types else [*types, "null"]
    if values is not None:
        # A null that the type refused before is already among the values.
        changed["enum"] = values if None in values else [*values, None]
    return changed


# Types and values.


def _types(schema: dict[str, Any]) -> list[str] | None:
    """Return the types a schema names, else those of the values it names; None when it names neither."""
    named = schema.get("type")
    if named is not None:
        return [named] if isinstance(named, str) else list(dict.fromkeys(named))
    values = _values(schema)
    if values is None:
        return None
    return list(dict.fromkeys(map(_type_of, values)))


def _values(schema: dict[str, Any]) -> list[Any] | None:
    """Return the values `enum` and `const` allow together; None when neither is there."""
    allowed = schema.get("enum")
    if "const" not in schema:
        return None if allowed is None else _distinct(allowed)
    constant = schema["const"]
    return [constant] if allowed is None or any(_same(constant, value) for value in allowed) else []


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Return the values without repetitions: 3.0.3 demands it of an enum, 3.1 only advises it."""
    kept: list[Any] = []
    for value in values:
        if not any(_same(value, other) for other in kept):
            kept.append(value)
    return kept


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _fits(value: Any, type_name: str) -> bool:
    found = _type_of(value)
    return found == type_name or (found == "integer" and type_name == "number")


def _same(left: Any, right: Any) -> bool:
    """Compare as JSON does: 1 is not true, in any depth."""
    return bool(_frozen(left) == _frozen(right))


def _frozen(value: Any) -> Any:
    match value:
        case bool():
            return ("boolean", value)
        case list():
            return [_frozen(member) for member in value]
        case dict():
            return {key: _frozen(member) for key, member in value.items()}
        case _:
            return value


def _typed(after: dict[str, Any], types: list[str] | None, values: list[Any] | None) -> dict[str, Any]:
    """Add types and values, with `nullable` in the one place where 3.0.3 heeds it: beside a single type."""
    described = {key: value for key, value in after.items() if _is_annotation(key)}
    if values is not None and types is not None and None in values and "null" not in types:
        values = [value for value in values if value is not None]
    if values == []:
        return {**described, "not": {}}
    if types is None:
        return after if values is None else {**after, "enum": values}
    null = "null" in types and (values is None or None in values)
    types = [name for name in types if name != "null" and not (name == "integer" and "number" in types)]
    untyped = {key: value for key, value in after.items() if key not in _TYPED_KEYWORDS}
    if not types:
        return {**untyped, "type": "object", "nullable": True, "enum": [None]} if null else {**described, "not": {}}
    if len(types) == 1:
        return _single_type(after, types[0], null=null, values=values)
    branches = []
    for name in types:
        own = {key: after[key] for key in _KEYWORDS_OF_TYPE[name] if key in after}
        fitting = None if values is None else [value for value in values if _fits(value, name)]
        if fitting != []:
            branches.append(_single_type(own, name, null=False, values=fitting))
    if null and branches:
        branches[-1] = _single_type(branches[-1], branches[-1]["type"], null=True, values=branches[-1].get("enum"))
    elif not branches:
        branches.append({"type": "object", "nullable": True, "enum": [None]} if null else {"not": {}})
    return _all_of(untyped, "anyOf", branches)


def _single_type(after: dict[str, Any], name: str, *, null: bool, values: list[Any] | None) -> dict[str, Any]:
    typed = {"type": name, **{key: value for key, value in after.items() if key not in ("type", "enum")}}
    if name == "array":
        typed.setdefault("items", {})
    if values is not None:
        typed["enum"] = [*(value for value in values if value is not None), *([None] if null else [])]
    if null:
        typed["nullable"] = True
    return typed


def _all_of(schema: dict[str, Any], key: str, branches: list[dict[str, Any]]) -> dict[str, Any]:
    """Add a combination to a schema, inside allOf when the schema already has one of that name."""
    if key not in schema:
        schema[key] = branches
    else:
        schema["allOf"] = [*schema.get("allOf", ()), {key: branches}]
    return schema


# Numbers and formats.


def _limits(schema: dict[str, Any], after: dict[str, Any], *, integers: bool) -> None:
    def written(number: Any) -> Any:
        return _integral(number) if integers else number

    if "multipleOf" in schema:
        after["multipleOf"] = written(schema["multipleOf"])
    for inclusive, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        open_limit, closed_limit = schema.get(exclusive), schema.get(inclusive)
        if isinstance(open_limit, bool):
            open_limit = None
        if open_limit is None:
            if closed_limit is not None:
                after[inclusive] = written(closed_limit)
            continue
        if closed_limit is not None:
            closed_is_tighter = closed_limit > open_limit if inclusive == "minimum" else closed_limit < open_limit
            if closed_is_tighter:
                after[inclusive] = written(closed_limit)
                continue
        after[inclusive] = written(open_limit)
        after[exclusive] = True


def _integral(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _content_format(schema: dict[str, Any], after: dict[str, Any]) -> None:
    if schema.get("contentEncoding") == "base64":
        after.setdefault("format", "byte")
    elif schema.get("contentMediaType") == "application/octet-stream":
        after.setdefault("format", "binary")


# References, names and security.


def _reference(before: dict[str, Any]) -> dict[str, Any] | None:
    """Return the bare reference, without the summary and description that 3.0.3 does not know beside it."""
    return {"$ref": before["$ref"]} if isinstance(before.get("$ref"), str) else None


def _reference_or(before: dict[str, Any]) -> dict[str, Any]:
    return _reference(before) or before


def _resolve(root: Any, reference: str) -> list[Any]:
    """Return all that a JSON pointer in a URI fragment (RFC 6901, 6) passes, target last; empty when it leads nowhere."""
    found, path = root, [root]
    for token in reference.removeprefix("#").split("/")[1:]:
        token = unquote(token).replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and token in found:
            found = found[token]
        elif isinstance(found, list) and token.isdigit() and int(token) < len(found):
            found = found[int(token)]
        else:
            return []
        path.append(found)
    return path


def _info(before: dict[str, Any]) -> dict[str, Any]:
    after = {key: value for key, value in before.items() if key != "summary"}
    if isinstance(before.get("license"), dict):
        after["license"] = {key: value for key, value in before["license"].items() if key != "identifier"}
    return after


def _security_types(schemes: dict[str, Any]) -> dict[str, str]:
    """Return the types of the schemes that 3.0.3 knows: mutualTLS came with 3.1."""
    types: dict[str, str] = {}
    for name, scheme in schemes.items():
        seen: set[str] = set()
        while reference := _reference(scheme):
            target = reference["$ref"].rpartition("/")[2]
            if target in seen or target not in schemes:
                break
            seen.add(target)
            scheme = schemes[target]
        if scheme.get("type") != "mutualTLS":
            types[name] = scheme.get("type", "oauth2")
    return types
