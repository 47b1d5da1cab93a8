"""The published contracts as files: OpenAPI documents, JSON Schema of every event, AsyncAPI. Generated, committed, compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from shanraq import (
    accounts,
    credit_transfers,
    events,
    p2p,
    partners,
    payment_files,
    payments,
    settlement,
    statements,
    transactions,
    webhooks,
)
from shanraq.api import v1
from shanraq.api.app import create_app
from shanraq.core.actor import Actor
from shanraq.core.errors import UnauthenticatedError

_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
_SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"
_REFERENCE: Final = "#/$defs/{name}"

# What the `data` of an event is; the longest prefix wins, and every type of the catalogue is covered.
DATA_OF: Final[dict[str, type[msgspec.Struct] | None]] = {
    "transaction.": transactions.Transaction,
    "account.": accounts.Account,
    "account.reported": statements.AccountReport,
    "payment.": payments.Payment,
    "refund.": payments.Payment,
    "settlement.exception": settlement.SettlementException,
    "settlement.completed": settlement.SettledDay,
    "chargeback.": settlement.Dispute,
    "payment_file.": payment_files.PaymentFile,
    "credit_transfer.": credit_transfers.CreditTransfer,
    "recall.": credit_transfers.Recall,
    "p2p_transfer.": p2p.P2PTransfer,
    "partner.": partners.Partner,
    "api_key.": partners.ApiKey,
    "webhook_endpoint.": webhooks.Endpoint,
    "webhook_endpoint.deleted": webhooks.EndpointDeleted,
    "webhook_endpoint.ping": webhooks.Ping,
    "message.": webhooks.ExhaustedMessage,
    "fraud.": payments.FraudReport,
    # Named by the contract; emitted by parts that are not there yet.
    "compliance.": None,
    "audit.": None,
}


def data_of(type_name: str) -> type[msgspec.Struct] | None:
    """Return what an event of this type tells; None for types that nothing emits yet."""
    prefix = max((known for known in DATA_OF if type_name.startswith(known)), key=len)
    return DATA_OF[prefix]


def write_documents(folder: Path) -> list[Path]:
    """Write every document below a checkout; files of events that are gone are removed. Returns what was written."""
    written = []
    for name, content in documents().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        written.append(path)
    for stale in set((folder / "events").glob("*.json")) - set(written):
        stale.unlink()
    return written


def documents() -> dict[str, bytes]:
    """Return every document by its path in the checkout; the same code gives the same bytes."""
    api = api_document()
    found = {"openapi/openapi-3.1.json": api.openapi_31(), "openapi/openapi-3.0.json": api.openapi_30()}
    for type_name in events.CATALOG:
        found[f"events/{type_name}.json"] = _json(schema_of(type_name))
    found["events/asyncapi.yaml"] = _yaml(asyncapi()).encode()
    return found


def api_document() -> Any:
    """Return the document of the REST interface, without a database behind it."""

    async def nobody(_credentials: object, _address: str) -> Actor:
        raise UnauthenticatedError

    return create_app(None, routes=v1.ROUTES, authenticate=nobody).document


def schema_of(type_name: str) -> dict[str, Any]:
    """Return the JSON Schema of an event as it is delivered. Consumers must ignore fields they do not know."""
    event_type = events.CATALOG[type_name]
    kind = data_of(type_name)
    kinds: list[type[msgspec.Struct]] = [events.Envelope, *([kind] if kind is not None else [])]
    schemas, definitions = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    envelope = definitions.pop("Envelope")
    properties = {
        **envelope["properties"],
        "type": {"const": type_name},
        "version": {"const": event_type.version},
        "data": schemas[1] if kind is not None else {"type": "object"},
    }
    schema = {
        "$schema": _SCHEMA,
        "$id": f"https://shanraq.org/events/{type_name}/{event_type.version}.json",
        "title": type_name,
        "description": event_type.meaning,
        "type": "object",
        "properties": properties,
        "required": envelope["required"],
        "additionalProperties": True,
    }
    if definitions:
        schema["$defs"] = {name: _open(definition) for name, definition in sorted(definitions.items())}
    return schema


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0.0 description of the events: a channel a resource."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for type_name, event_type in events.CATALOG.items():
        resource = type_name.rpartition(".")[0]
        key = type_name.replace(".", "_")
        channel = channels.setdefault(
            resource,
            {"address": f"shanraq.{{environment}}.{{partner}}.{resource}", "messages": {}, "parameters": _PARAMETERS},
        )
        channel["messages"][key] = {"$ref": f"#/components/messages/{key}"}
        messages[key] = {
            "name": type_name,
            "title": type_name,
            "summary": event_type.meaning,
            "contentType": "application/json",
            "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": {"$ref": f"./{type_name}.json"}},
        }
        operations[f"send_{key}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{resource}"},
            "messages": [{"$ref": f"#/channels/{resource}/messages/{key}"}],
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Shanraq events",
            "version": events.API_VERSION,
            "description": "Facts that partners receive by webhook (Standard Webhooks 1.0.0) and read at GET /v1/events.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


_PARAMETERS: Final = {
    "environment": {"enum": ["sandbox", "live"], "description": "Whether real money moves."},
    "partner": {"description": "The partner's id."},
}


def _open(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in definition.items() if name != "additionalProperties" or value is not False}


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _yaml(document: Any) -> str:
    return "# Generated by `make docs`.\n" + "\n".join(_yaml_lines(document, 0)) + "\n"


def _yaml_lines(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield f"{indent}{_scalar(key)}:"
            yield from _yaml_lines(item, depth + 1)
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            yield f"{indent}{_scalar(key)}:"
            for one in item:
                first, *rest = _yaml_lines(one, depth + 2)
                yield f"{indent}  - {first.strip()}"
                yield from rest
        else:
            yield f"{indent}{_scalar(key)}: {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and value.replace("_", "").replace(".", "").isalnum() and not value[0].isdigit():
        return value
    return json.dumps(value, ensure_ascii=False)
