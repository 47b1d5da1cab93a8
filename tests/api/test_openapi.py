"""The published documents: valid, complete, the same every time, and true to the running application."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from litestar import get, post
from litestar.params import JSONBody
from openapi_schema_validator import OAS30Validator, OAS31Validator
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from shanraq.api.app import Edge
from shanraq.api.openapi import problems
from shanraq.api.strict import Body
from tests.api.example import NewNote, Note, example_app

Object = dict[str, Any]


@pytest.fixture(scope="module")
def app() -> Edge:
    return example_app()


@pytest.fixture(scope="module")
def document(app: Edge) -> Object:
    loaded: Object = json.loads(app.document.openapi_31())
    return loaded


def test_both_documents_are_valid(app: Edge) -> None:
    OpenAPIV31SpecValidator(json.loads(app.document.openapi_31())).validate()
    OpenAPIV30SpecValidator(json.loads(app.document.openapi_30())).validate()


def test_the_documents_are_the_same_bytes_every_time(app: Edge) -> None:
    other = example_app()

    written = app.document.openapi_31()
    assert written == json.dumps(json.loads(written), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    assert written == other.document.openapi_31()
    assert app.document.openapi_30() == other.document.openapi_30()


async def test_the_documents_are_served(client: httpx.AsyncClient) -> None:
    short = await client.get("/openapi.json")
    long = await client.get("/openapi-3.1.json")
    old = await client.get("/openapi-3.0.json")

    assert short.content == long.content
    assert (short.json()["openapi"], old.json()["openapi"]) == ("3.1.0", "3.0.3")
    assert short.headers["content-type"] == "application/json"


def test_litestars_own_document_is_not_served(app: Edge) -> None:
    assert not any(route.path.startswith("/schema") for route in app.litestar.routes)


def test_a_body_refuses_unknown_fields_in_the_document_too(document: Object) -> None:
    schema = document["components"]["schemas"]["NewNote"]

    assert schema["additionalProperties"] is False
    assert schema["required"] == ["amount", "currency", "author"]
    assert schema["properties"]["amount"] == {"type": "integer", "minimum": 1, "maximum": 10**15}
    assert isinstance(schema["properties"]["amount"]["maximum"], int)


def test_a_tagged_union_has_its_discriminator(document: Object) -> None:
    parts = document["components"]["schemas"]["NewNote"]["properties"]["parts"]

    assert parts["items"]["discriminator"]["propertyName"] == "kind"
    assert parts["items"]["discriminator"]["mapping"].keys() == {"text", "number"}


def test_an_operation_says_who_may_call_it(document: Object) -> None:
    create, delete = document["paths"]["/v1/notes"]["post"], document["paths"]["/v1/notes/{note_id}"]["delete"]

    assert create["operationId"] == "create_note"
    assert create["security"] == [{"api_key": []}, {"operator": []}, {"signature": []}]
    assert create["x-scope"] == "notes:write"
    assert "notes:write" in create["description"]
    assert delete["security"] == [{"operator": []}]
    assert document["paths"]["/health/live"]["get"]["security"] == []


def test_an_operation_lists_the_refusals_it_can_give(document: Object) -> None:
    notes, note = document["paths"]["/v1/notes"], document["paths"]["/v1/notes/{note_id}"]

    everywhere = {"400", "401", "403", "406", "429", "500", "503"}
    assert notes["get"]["responses"].keys() == {"200", *everywhere}
    assert notes["post"]["responses"].keys() == {"201", "408", "409", "413", "415", "422", *everywhere}
    assert note["get"]["responses"].keys() == {"200", "404", *everywhere}
    assert note["delete"]["responses"].keys() == {"204", "404", "409", *everywhere}
    assert document["paths"]["/health/ready"]["get"]["responses"].keys() == {"200", "400", "406", "500", "503"}


def test_a_keyed_operation_documents_its_headers(document: Object) -> None:
    create = document["paths"]["/v1/notes"]["post"]

    assert {"$ref": "#/components/parameters/IdempotencyKey"} in create["parameters"]
    assert document["components"]["parameters"]["IdempotencyKey"]["required"] is True
    assert create["responses"]["201"]["headers"].keys() == {
        "Idempotent-Replayed", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Shanraq-Request-Id",
    }  # fmt: skip
    assert "Retry-After" in document["components"]["responses"]["TooManyRequests"]["headers"]


def test_parameters_are_described_with_their_limits(document: Object) -> None:
    limit, currency = document["paths"]["/v1/notes"]["get"]["parameters"]

    assert limit == {
        "name": "limit",
        "in": "query",
        "description": "How many at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
    }
    assert (currency["name"], currency["schema"]) == ("currency", {"enum": ["KZT", "USD"]})


def test_the_example_of_a_body_is_one(document: Object, app: Edge) -> None:
    [example] = document["components"]["schemas"]["NewNote"]["examples"]
    older = json.loads(app.document.openapi_30())

    for validator, described in ((OAS31Validator, document), (OAS30Validator, older)):
        schema = {"$ref": "#/components/schemas/NewNote", "components": described["components"]}
        assert validator(schema).is_valid(example)
    assert older["components"]["schemas"]["NewNote"]["example"] == example == NewNote.EXAMPLE


def test_an_example_that_does_not_fit_its_struct_is_found_at_start() -> None:
    class Wrong(Body, frozen=True):
        """A body with an example of something else."""

        amount: int

        EXAMPLE: ClassVar[Object] = {"amount": "5"}

    @post("/v1/wrong", operation_id="wrong", opt={"public": True}, signature_namespace={"Wrong": Wrong})
    async def wrong(data: JSONBody[Wrong]) -> None:
        """Be wrong."""

    with pytest.raises(ValueError, match="Expected `int`"):
        example_app(routes=[wrong])


def test_two_operations_of_one_name_are_found_at_start() -> None:
    @get("/v1/one", operation_id="same", opt={"public": True})
    async def one() -> Note:
        """Be one."""
        raise AssertionError

    @get("/v1/two", operation_id="same", opt={"public": True})
    async def two() -> Note:
        """Be two."""
        raise AssertionError

    with pytest.raises(TypeError, match="same"):
        example_app(routes=[one, two])


def test_a_refusal_with_an_unknown_status_is_found_at_once() -> None:
    with pytest.raises(ValueError, match="418"):
        problems(418)


async def test_the_application_does_what_its_document_says(url: str, tmp_path: Path) -> None:
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
        "response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method"
    )
    running = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "schemathesis", "run", f"{url}/openapi-3.1.json", "--auth",
        "key_1:correct-horse-battery-staple", "--phases", "examples,coverage,fuzzing", "--max-examples", "10",
        "--checks", checks, "--seed", "1", "--no-color",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip

    output, _ = await running.communicate()

    assert running.returncode == 0, output.decode()
