from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from openapi_spec_validator import validate

from shanraq import accounts, events, p2p, partners, payments, webhooks
from shanraq.core.actor import SYSTEM
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.ops import documents
from tests.customers import register
from tests.flows.platform import onboard
from tests.payments.conftest import Shop, open_shop
from tests.payments.gateway import INSUFFICIENT

ROOT = Path(__file__).resolve().parents[2]
GENERATED = documents.documents()


@pytest.mark.parametrize("name", GENERATED)
def test_the_committed_document_is_the_generated_one(name: str) -> None:
    assert (ROOT / name).read_bytes() == GENERATED[name], "run `make docs` and commit what it writes"


@pytest.mark.parametrize("name", ["openapi/openapi-3.1.json", "openapi/openapi-3.0.json"])
def test_answers_in_xml_are_described_as_such(name: str) -> None:
    paths = json.loads(GENERATED[name])["paths"]

    for path in ("/v1/accounts/{account_id}/statements/{day}", "/v1/messages/{message_id}/content"):
        answers = paths[path]["get"]["responses"]
        assert answers["200"]["content"] == {"application/xml": {"schema": {"type": "string"}}}
        assert answers["404"] == {"$ref": "#/components/responses/NotFound"}


def test_no_document_is_left_of_an_event_that_is_gone() -> None:
    assert {f"events/{path.name}" for path in (ROOT / "events").glob("*.json")} <= set(GENERATED)


@pytest.mark.parametrize(
    ("name", "version"), [("openapi/openapi-3.1.json", "3.1.0"), ("openapi/openapi-3.0.json", "3.0.3")]
)
def test_the_openapi_document_is_valid(name: str, version: str) -> None:
    document = json.loads(GENERATED[name])

    assert document["openapi"] == version
    validate(document)


@pytest.mark.parametrize("type_name", events.CATALOG)
def test_every_event_type_has_a_valid_schema(type_name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(GENERATED[f"events/{type_name}.json"]))


@pytest.fixture
async def shop(database: Database) -> Shop:
    return await open_shop(database)


async def test_events_really_emitted_fit_their_schema(shop: Shop) -> None:
    db, keyring, bank = shop.bank.db, Keyring.generate(), shop.bank
    issued = await onboard(db, keyring)
    holder = await partners.authenticate(db, keyring, partners.BasicCredentials(issued.id, issued.secret))
    rotated = await partners.rotate_key(db, keyring, holder, issued.id)
    await partners.revoke_key(db, holder, rotated.id)
    async with db.begin(SYSTEM) as tx:
        _, token = await partners.create_operator(tx, keyring, "Operator", partners.OPERATOR_SCOPES)
    operator = await partners.authenticate_operator(db, keyring, token)
    await partners.suspend(db, operator, holder.partner_id, "a drill")
    payment = await shop.captured(1000)
    await shop.refund(payment.id, 300)
    await shop.void((await shop.authorize(500, "second")).value.id)
    shop.gateway.script.append(INSUFFICIENT)
    await shop.authorize(400, "third")
    customers = [await register(db, keyring, bank.actor, f"c{n}") for n in range(2)]
    sender, recipient = [await bank.account(100 * (n == 0), customer_id=one.id) for n, one in enumerate(customers)]
    new = p2p.NewP2PTransfer(sender_account=sender.id, recipient_account=recipient.id, amount=40, currency="KZT")
    moved = await p2p.transfer(db, bank.actor, "p", new)
    await p2p.roll_back(db, bank.actor, "b", moved.value.id)
    await accounts.suspend_account(db, bank.actor, sender.id)
    await accounts.resume_account(db, bank.actor, sender.id)
    endpoint, _ = await webhooks.subscribe(
        db,
        bank.actor,
        webhooks.NewEndpoint(url="https://example.com/hook", event_types=("*",)),
        keyring=keyring,
        policy=webhooks.GuardPolicy(),
    )
    await webhooks.send_test(db, bank.actor, endpoint.id)
    await webhooks.pause(db, bank.actor, endpoint.id)
    await webhooks.delete_endpoint(db, bank.actor, endpoint.id)

    async with db.begin(SYSTEM) as tx:
        numbered = await events.stamp(tx)
        stamped = (await events.load(tx, [event.seq for event in numbered])).values()
    seen = {event.type for event in stamped}
    for event in stamped:
        schema = json.loads(GENERATED[f"events/{event.type}.json"])
        jsonschema.validate(json.loads(events.envelope(event)), schema)
        kind = documents.data_of(event.type)
        assert kind is not None, f"{event.type} is emitted and has no schema of its data"
        assert set(json.loads(event.data)) == set(kind.__struct_fields__), event.type
    assert len(seen) >= 28, sorted(seen)
    assert partners.Partner is documents.data_of("partner.activated")
    assert payments.Payment is documents.data_of("refund.created")
