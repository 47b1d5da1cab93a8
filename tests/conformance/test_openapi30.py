"""The converter from OpenAPI 3.1 to 3.0.3 against recorded cases, foreign validators and random schemas."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator, OAS31Validator
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from shanraq.api.openapi30 import to_openapi_30
from tests.conformance.data import conformance_data

Object = dict[str, Any]


def _cases(kind: str) -> list[Object]:
    cases: list[Object] = json.loads(conformance_data("core-stack/openapi/convert-3.1-to-3.0.json").read_bytes())[kind]
    return cases


def _components() -> Object:
    components: Object = json.loads(conformance_data("core-stack/openapi/convert-3.1-to-3.0.json").read_bytes())[
        "components"
    ]
    return components


XY: Object = {
    "X": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
    "Y": {"type": "object", "required": ["b"], "properties": {"b": {"type": "string"}}},
}


def wrapped(schema: Any, components: Object = XY) -> Object:
    """Return a document with the schema as the component `Case`."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1"},
        "paths": {},
        "components": {"schemas": {**copy.deepcopy(components), "Case": copy.deepcopy(schema)}},
    }


def accepts_30(document: Object, instance: Any) -> bool:
    # A discriminator refuses nothing (OpenAPI 3.0.3, 4.7.25); the validator would also demand that its property is there.
    components = _without_discriminators(document["components"])
    schema = {"$ref": "#/components/schemas/Case", "components": components}
    return bool(OAS30Validator(schema, format_checker=None).is_valid(instance))


def _without_discriminators(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_discriminators(value) for key, value in node.items() if key != "discriminator"}
    return [_without_discriminators(value) for value in node] if isinstance(node, list) else node


def accepts_31(document: Object, instance: Any) -> bool:
    schema = {"$ref": "#/components/schemas/Case", "components": document["components"]}
    return bool(OAS31Validator(schema, format_checker=None).is_valid(instance))


def assert_valid_30(document: Object) -> None:
    OpenAPIV30SpecValidator(copy.deepcopy(document)).validate()
    assert not list(_arrays_without_items(document)), "every array needs items"


def _arrays_without_items(node: Any) -> Any:
    if isinstance(node, dict):
        if node.get("type") == "array" and "items" not in node:
            yield node
        for key, value in node.items():
            if key not in ("default", "enum", "example", "value"):
                yield from _arrays_without_items(value)
    elif isinstance(node, list):
        for value in node:
            yield from _arrays_without_items(value)


@pytest.mark.parametrize("case", _cases("schemas"), ids=lambda case: case["id"])
def test_a_recorded_schema_keeps_its_meaning(case: Object) -> None:
    document = to_openapi_30(wrapped(case["before"], _components()))

    assert_valid_30(document)
    for instance in (*case["accepts"], *case.get("accepted_only_after", ())):
        assert accepts_30(document, instance), instance
    for instance in case["rejects"]:
        assert not accepts_30(document, instance), instance


@pytest.mark.parametrize("case", _cases("schemas"), ids=lambda case: case["id"])
def test_a_recorded_schema_is_written_as_recorded(case: Object) -> None:
    document = to_openapi_30(wrapped(case["before"], _components()))

    assert document["components"]["schemas"]["Case"] == case["after"]


@pytest.mark.parametrize("case", _cases("documents"), ids=lambda case: case["id"])
def test_a_recorded_document_is_written_as_recorded(case: Object) -> None:
    before = copy.deepcopy(case["before"])

    after = to_openapi_30(before)

    assert after == case["after"]
    assert before == case["before"], "the argument is left as it is"
    assert_valid_30(after)


NULL = {"type": "object", "nullable": True, "enum": [None]}
X = {"$ref": "#/components/schemas/X"}
Y = {"$ref": "#/components/schemas/Y"}


@pytest.mark.parametrize(
    ("before", "accepted", "rejected"),
    [
        ({"anyOf": [X, Y, {"type": "null"}]}, [{"a": 1}, {"b": ""}, None], [{}, 1]),
        ({"oneOf": [{"type": "null"}, X], "description": "d"}, [{"a": 1}, None], [{}]),
        ({"oneOf": [{"type": "string"}, {"type": "null"}, {"type": "null"}]}, ["a"], [None, 1]),
        ({"anyOf": [{"type": "string"}, {"type": "null"}, {"const": None}]}, ["a", None], [1]),
        ({"oneOf": [{"type": ["string", "null"]}, {"type": ["integer", "null"]}]}, ["a", 1], [None]),
        ({"oneOf": [{"type": ["string", "null"]}, {"type": "null"}]}, ["a"], [None]),
        ({"anyOf": [{}, {"type": "null"}]}, [None, 1, "a"], []),
        ({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}, ["a", None], ["c", 1]),
        ({"oneOf": [{"const": "a"}, {"type": "null"}]}, ["a", None], ["c"]),
        ({"oneOf": [{"type": "string", "enum": ["a"]}, {"enum": [None]}]}, ["a", None], ["b"]),
        ({"anyOf": [{"type": "object", "allOf": [X]}, {"type": "null"}]}, [{"a": 1}, None], [{}]),
        (
            {
                "type": "object",
                "additionalProperties": False,
                "anyOf": [{"type": "object", "properties": {"a": {}}}, {"type": "null"}],
            },
            [{}],
            [None, {"a": 1}],
        ),
        ({"type": ["string", "integer", "null"], "minLength": 2, "minimum": 5}, ["ab", 5, None], ["a", 4, True]),
        ({"type": ["array", "string", "null"]}, [[], "", None], [1, {}]),
        ({"type": ["integer", "number"]}, [1, 1.5], ["a", None]),
        ({"type": ["string", "integer"], "anyOf": [{"const": 1}, {"const": "a"}]}, [1, "a"], [2, "b", None]),
        ({"enum": ["a", 1, None]}, ["a", 1, None], ["b", 2, True]),
        ({"enum": [True, None]}, [True, None], [1, False]),
        ({"enum": [[], {}, None]}, [[], {}, None], [[1], ""]),
        ({"type": "string", "enum": ["a", None]}, ["a"], [None, "b"]),
        ({"type": ["string", "null"], "enum": ["a"]}, ["a"], [None, "b"]),
        ({"type": "string", "enum": [None]}, [], [None, "a"]),
        ({"const": None}, [None], [0, {}, ""]),
        ({"type": ["string", "null"], "const": None}, [None], ["a"]),
        ({"enum": [[], [], 1, True, 1.0]}, [[], 1, True], [0, False]),
        ({"const": 1, "enum": [True, 2]}, [], [1, True, 2]),
        ({"const": {"const": [1]}}, [{"const": [1]}], [{}]),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": 5}, [6], [5, 0]),
        ({"type": "integer", "minimum": 5, "exclusiveMinimum": 5}, [6], [5]),
        ({"type": "integer", "maximum": 5, "exclusiveMaximum": 9}, [5], [6]),
        ({"type": "string", "minLength": 2.0}, ["ab"], ["a"]),
        ({"type": "array", "prefixItems": [{"type": "integer"}]}, [[], [1, "a"]], [1]),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}], "items": False},
            [[], [1, 2]],
            [[1, 2, 3], ["a"]],
        ),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}}, [[1, "a"]], [[None]]),
        ({"type": "array", "items": True}, [[None]], [1]),
        ({"type": "array", "items": False}, [[]], [[1]]),
        (True, [None, 1, {}], []),
        (False, [], [None, 1, {}]),
        ({"type": "object", "properties": {"a": True, "b": False}}, [{"a": 1}], [{"b": 1}]),
        (
            {"type": "object", "patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False},
            [{"xa": "s"}],
            [{"xa": 1}],
        ),
        ({"not": {"contains": {"const": 5}}}, [[1], {}], []),
        ({"not": {"not": {"type": "object", "propertyNames": {"maxLength": 1}}}}, [{"a": 1}], []),
        (
            {
                "oneOf": [
                    {
                        "type": "array",
                        "prefixItems": [{"type": "integer"}, {"type": "string"}],
                        "items": False,
                        "minItems": 2,
                    },
                    {
                        "type": "array",
                        "prefixItems": [{"type": "string"}, {"type": "integer"}],
                        "items": False,
                        "minItems": 2,
                    },
                ]
            },
            [[1, "a"], ["a", 1]],
            [[1], [None, 1]],
        ),
        ({"type": "object", "required": []}, [{}], [1]),
        (
            {"$ref": "#/components/schemas/X", "type": ["object", "null"], "maxProperties": 1},
            [{"a": 1}],
            [None, {"a": 1, "b": 2}],
        ),
        ({"$ref": "#/components/schemas/X", "allOf": [Y]}, [{"a": 1, "b": ""}], [{"a": 1}, {"b": ""}]),
        ({"type": "string", "nullable": True}, ["a"], [None]),
        ({"type": "string", "$comment": "c", "$id": "https://example.test/s", "x-own": {"type": ["a"]}}, ["a"], [1]),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/N"}},
                "$defs": {"N": {"type": ["integer", "null"]}},
            },
            [{"a": 1}, {"a": None}],
            [{"a": "x"}],
        ),
        ({"anyOf": [{"$ref": "#/components/schemas/X/properties/a"}, {"type": "null"}]}, [1, None], ["a"]),
    ],
)
def test_a_schema_keeps_its_meaning(before: Any, accepted: list[Any], rejected: list[Any]) -> None:
    document = to_openapi_30(wrapped(before))

    assert_valid_30(document)
    assert [instance for instance in accepted if not accepts_30(document, instance)] == []
    assert [instance for instance in rejected if accepts_30(document, instance)] == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"examples": [None, 1]}, {"example": None}),
        ({"type": "string", "contentMediaType": "text/html"}, {"type": "string"}),
        ({"default": {"type": ["a", "null"], "const": 1}}, {"default": {"type": ["a", "null"], "const": 1}}),
        ({"type": "string", "x-limits": {"const": 1}}, {"type": "string", "x-limits": {"const": 1}}),
        (
            {"oneOf": [X, Y, {"type": "null"}], "discriminator": {"propertyName": "k"}, "title": "t"},
            {"anyOf": [{"oneOf": [X, Y], "discriminator": {"propertyName": "k"}}, NULL], "title": "t"},
        ),
    ],
)
def test_a_schema_is_written_so(before: Any, after: Any) -> None:
    assert to_openapi_30(wrapped(before))["components"]["schemas"]["Case"] == after


def _document(**parts: Any) -> Object:
    return {"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": {}, **parts}


def test_components_named_like_keywords_are_schemas() -> None:
    before = _document(components={"schemas": {"const": {"const": 1}, "examples": {"type": ["string", "null"]}}})

    after = to_openapi_30(before)

    assert after["components"]["schemas"]["const"] == {"enum": [1]}
    assert after["components"]["schemas"]["examples"] == {"type": "string", "nullable": True}


def test_a_document_without_paths_gets_empty_ones() -> None:
    before = _document()
    del before["paths"]

    assert to_openapi_30(before)["paths"] == {}


def test_a_licence_identifier_is_dropped() -> None:
    before = _document(info={"title": "T", "version": "1", "license": {"name": "L", "identifier": "Apache-2.0"}})

    assert to_openapi_30(before)["info"]["license"] == {"name": "L"}


def test_an_alternative_of_mutual_tls_alone_does_not_open_the_operation() -> None:
    before = _document(
        components={"securitySchemes": {"mtls": {"type": "mutualTLS"}, "key": {"type": "http", "scheme": "basic"}}},
        security=[{"mtls": []}, {"key": []}, {}],
    )

    assert to_openapi_30(before)["security"] == [{"key": []}, {}]


def test_definitions_of_a_schema_become_components_with_their_own_references() -> None:
    before = wrapped(
        {
            "type": "object",
            "properties": {"first": {"$ref": "#/$defs/Node"}},
            "$defs": {
                "Node": {
                    "type": "object",
                    "properties": {"next": {"$ref": "#/$defs/Node"}, "value": {"$ref": "#/$defs/Value"}},
                },
                "Value": {"const": 1},
                "Unused": {"type": "null"},
            },
        }
    )
    before["components"]["schemas"]["Other"] = {"$ref": "#/components/schemas/Case/$defs/Node"}

    document = to_openapi_30(before)

    assert_valid_30(document)
    schemas = document["components"]["schemas"]
    assert schemas.keys() == {"X", "Y", "Case", "Other", "Node", "Value"}
    assert schemas["Other"] == {"$ref": "#/components/schemas/Node"}
    assert accepts_30(document, {"first": {"next": {"value": 1}}})
    assert not accepts_30(document, {"first": {"next": {"value": 2}}})


def test_a_reference_to_a_looser_schema_is_not_negated() -> None:
    before = wrapped({"not": {"$ref": "#/components/schemas/Zed"}})
    before["components"]["schemas"]["Zed"] = {"type": "array", "contains": {"const": 1}}

    document = to_openapi_30(before)

    assert accepts_31(before, [2])
    assert accepts_30(document, [2])


def test_everything_that_holds_a_schema_is_converted() -> None:
    nullable = {"type": ["string", "null"]}
    content = {
        "application/json": {
            "schema": nullable,
            "examples": {"one": {"$ref": "#/components/examples/E", "summary": "s"}},
            "encoding": {"a": {"headers": {"H": {"schema": nullable}}}},
        }
    }
    operation = {
        "operationId": "a",
        "parameters": [
            {"name": "p", "in": "query", "content": {"application/json": {"schema": nullable}}},
            {"$ref": "#/components/parameters/P", "description": "d"},
        ],
        "requestBody": {"content": content},
        "responses": {
            "200": {"description": "ok", "content": content, "headers": {"H": {"schema": nullable}}},
            "default": {"$ref": "#/components/responses/R"},
            "x-own": {"type": ["string", "null"]},
        },
    }
    before = _document(
        paths={"/a": {"parameters": [{"name": "h", "in": "header", "schema": nullable}], "post": operation}},
        components={
            "parameters": {"P": {"name": "q", "in": "query", "schema": nullable}},
            "responses": {"R": {"description": "r", "content": content}},
            "requestBodies": {"B": {"content": content}},
            "headers": {"H": {"schema": nullable}},
            "examples": {"E": {"value": {"type": ["string", "null"]}}},
            "callbacks": {"C": {"{$url}": {"post": {"responses": {"200": {"description": "ok", "content": content}}}}}},
        },
    )
    OpenAPIV31SpecValidator(copy.deepcopy(before)).validate()

    after = to_openapi_30(before)

    assert_valid_30(after)
    untouched = [
        after["components"]["examples"]["E"].pop("value"),
        after["paths"]["/a"]["post"]["responses"].pop("x-own"),
    ]
    assert untouched == [{"type": ["string", "null"]}] * 2
    assert '"null"' not in json.dumps(after)
    assert '"summary"' not in json.dumps(after)


# Random schemas: whatever 3.1 accepts is accepted afterwards; where nothing is lost, nothing else is.

scalars = st.sampled_from([None, True, False, 0, 1, 2, 1.5, "", "a", "ab"])
instances = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
)
type_names = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
small = st.integers(0, 2)


def _keywords(inner: st.SearchStrategy[Any]) -> Object:
    return {
        "type": type_names | st.lists(type_names, min_size=1, max_size=4, unique=True),
        "enum": st.lists(instances, min_size=1, max_size=3),
        "const": scalars,
        "minimum": small,
        "exclusiveMinimum": small,
        "maximum": small,
        "exclusiveMaximum": small,
        "minLength": small,
        "maxItems": small,
        "items": inner,
        "properties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
        "additionalProperties": inner,
        "allOf": st.lists(inner, min_size=1, max_size=2),
        "anyOf": st.lists(inner, min_size=1, max_size=3),
        "oneOf": st.lists(inner, min_size=1, max_size=3),
        "not": inner,
    }


def _schemas(extra: Any) -> st.SearchStrategy[Any]:
    leaves = st.sampled_from(
        [True, False, {}, {"type": "null"}, X, Y, {"type": "string"}, {"type": ["integer", "null"]}]
    )

    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        keywords = {**_keywords(inner), **extra(inner)}
        return st.lists(st.sampled_from(sorted(keywords)), min_size=1, max_size=3, unique=True).flatmap(
            lambda names: st.fixed_dictionaries({name: keywords[name] for name in names})
        )

    return st.recursive(leaves, extend, max_leaves=6)


def _lossy(inner: st.SearchStrategy[Any]) -> Object:
    return {
        "prefixItems": st.lists(inner, min_size=1, max_size=2),
        "contains": inner,
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, min_size=1, max_size=2),
        "propertyNames": inner,
        "if": inner,
        "then": inner,
        "unevaluatedItems": inner,
        "dependentRequired": st.just({"a": ["b"]}),
        "$ref": st.just(X["$ref"]),
    }


@settings(max_examples=200, deadline=None)
@given(_schemas(lambda _: {}), st.lists(instances, min_size=1, max_size=8))
def test_nothing_changes_where_nothing_is_lost(schema: Any, tried: list[Any]) -> None:
    before = wrapped(schema)

    after = to_openapi_30(before)

    for instance in [*tried, None, "a", 1, {"a": 1}]:
        assert accepts_30(after, instance) == accepts_31(before, instance), (
            instance,
            after["components"]["schemas"]["Case"],
        )


@settings(max_examples=200, deadline=None)
@given(_schemas(_lossy), st.lists(instances, min_size=1, max_size=8))
def test_nothing_is_refused_that_was_accepted(schema: Any, tried: list[Any]) -> None:
    before = wrapped(schema)

    after = to_openapi_30(before)

    for instance in [*tried, None, "a", 1, {"a": 1}]:
        if accepts_31(before, instance):
            assert accepts_30(after, instance), (instance, after["components"]["schemas"]["Case"])


@settings(max_examples=100, deadline=None)
@given(_schemas(_lossy))
def test_the_answer_is_valid_3_0_3(schema: Any) -> None:
    after = to_openapi_30(wrapped(schema))

    assert_valid_30(after)
