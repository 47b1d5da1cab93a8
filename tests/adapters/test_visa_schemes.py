"""Every scheme with and without encryption, against the simulator over HTTP and TLS, set up as an installation sets it up."""

from __future__ import annotations

import asyncio
import base64
import hmac
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from shanraq.adapters.visa import VisaAdapter
from shanraq.adapters.visa.sign import Signer
from shanraq.core.money import Money
from shanraq.core.secret import Pan, Secret, SecurityCode
from shanraq.core.settings import InvalidSettingError, VisaSettings
from shanraq.ops.visa import visa
from shanraq.payments.adapter import (
    Approved,
    Authenticate,
    Authenticated,
    Authorize,
    Capture,
    Card,
    Challenge,
    Credit,
    Declined,
    Device,
    DeviceCollection,
    Increment,
    Initiator,
    InReview,
    Lost,
    MerchantReason,
    NotAuthenticated,
    NotProcessed,
    OperationKind,
    Refund,
    Reverse,
    Reviewed,
    RiskDecision,
    StartAuthentication,
    StoredCredential,
    Unknown,
    Verify,
    Void,
)
from shanraq.settlement.port import LineKind
from shanraq.simulators.visa import VisaSimulator
from shanraq.simulators.visa.credentials_make import obtain
from shanraq.simulators.visa.tls import Authority, server_context

GOOD = "4111111111111111"
SCHEMES = ("jwt_hs256", "jwt_rs256", "http_signature", "oauth")
_numbers = itertools.count(1)


def card(number: str = GOOD) -> Card:
    return Card(Pan(number), 12, 2031, SecurityCode("123"))


def tenge(minor: int) -> Money:
    return Money.of(minor, "KZT")


def fresh(prefix: str = "op") -> str:
    return f"{prefix}_{next(_numbers)}_{datetime.now(UTC):%H%M%S%f}"


@dataclass
class World:
    simulator: VisaSimulator
    tls_url: str
    folder: Path
    extra: dict[str, Any]

    def settings(self, scheme: str = "jwt_hs256", **changes: Any) -> VisaSettings:
        known = self.simulator.credentials
        for name in ("oauth_client_secret", "oauth_refresh_token", "secret"):
            (self.folder / name).write_text(getattr(known, name) + "\n")
        (self.folder / "password").write_text(self.extra["merchant_p12_password"])
        keys = self.folder / "visa-keys"
        values: dict[str, Any] = {
            "url": self.simulator.base_url,
            "scheme": scheme,
            "merchant_id": known.merchant_id,
            "timeout_seconds": 5.0,
            "index_lag_seconds": 0.1,
        }
        match scheme:
            case "jwt_rs256":
                values |= {
                    "p12_file": str(self.folder / self.extra["merchant_p12"]),
                    "p12_password_file": str(self.folder / "password"),
                }
            case "oauth":
                values |= {
                    "url": self.tls_url,
                    "oauth_client_id": known.oauth_client_id,
                    "oauth_client_secret_file": str(self.folder / "oauth_client_secret"),
                    "oauth_refresh_token_file": str(self.folder / "oauth_refresh_token"),
                    "tls_ca_file": str(keys / "ca.pem"),
                    "tls_certificate_file": str(keys / "client.pem"),
                    "tls_key_file": str(keys / "client-key.pem"),
                }
            case _:
                values |= {"key_id": known.key_id, "secret_file": str(self.folder / "secret")}
        return VisaSettings(**(values | changes))

    def encryption(self) -> dict[str, Any]:
        keys = self.folder / "visa-keys"
        return {
            "mle_requests": True,
            "mle_certificate_file": str(keys / "mle-request.pem"),
            "mle_reply_key_id": self.simulator.credentials.resp_mle_kid,
            "mle_reply_key_file": str(keys / "mle-response-key.pem"),
        }


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    file = tmp_path / "visa.json"
    credentials = obtain(file)
    keys = tmp_path / "visa-keys"
    server = keys / "server.pem", keys / "server-key.pem"
    Authority.kept_in(keys, "ca", "authority").issue_server(["127.0.0.1"]).write(*server)
    async with VisaSimulator(credentials, index_lag_seconds=0.05) as simulator:
        url = await simulator.listen_tls("127.0.0.1", 0, server_context(*server, credentials.client_ca))
        yield World(simulator, url, tmp_path, json.loads(file.read_text()))


@pytest.fixture
async def adapter(world: World) -> AsyncIterator[VisaAdapter]:
    made = visa("visa_sandbox", world.settings())
    yield made
    await made.close()


async def use_everything(adapter: VisaAdapter) -> None:
    """Carry out one operation of every kind, and find one again."""
    reference = fresh("pay")
    authorized = await adapter.authorize(Authorize(fresh(), reference, tenge(100_00), card()))
    assert isinstance(authorized, Approved), authorized
    captured = await adapter.capture(Capture(fresh(), reference, authorized.gateway_id, tenge(60_00), final=False))
    assert isinstance(captured, Approved), captured
    refunded = await adapter.refund(Refund(fresh(), reference, captured.gateway_id, tenge(10_00)))
    assert isinstance(refunded, Approved), refunded
    voided = await adapter.void(Void(fresh(), reference, OperationKind.REFUND, refunded.gateway_id, tenge(10_00)))
    assert isinstance(voided, Approved), voided
    reversed_ = await adapter.reverse(Reverse(fresh(), reference, authorized.gateway_id, tenge(40_00)))
    assert isinstance(reversed_, Approved), reversed_
    command = Authorize(fresh(), fresh("pay"), tenge(70_00), card())
    assert isinstance(await adapter.authorize(command), Approved)
    lost = Lost(command.operation_id, command.reference, OperationKind.AUTHORIZE, command.amount, datetime.now(UTC))
    assert isinstance(await adapter.undo(lost), Approved)
    poor = await adapter.authorize(Authorize(fresh(), fresh("pay"), tenge(100_00), card("4000000204000006")))
    assert isinstance(poor, Declined), poor
    assert poor.reason.code == "insufficient_funds"
    assert await adapter.healthy()


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_operation_in_every_scheme(world: World, scheme: str) -> None:
    adapter = visa("visa_sandbox", world.settings(scheme))
    try:
        await use_everything(adapter)
    finally:
        await adapter.close()


@pytest.mark.parametrize("scheme", ["jwt_hs256", "jwt_rs256"])
async def test_every_operation_encrypted_both_ways(world: World, scheme: str) -> None:
    adapter = visa("visa_sandbox", world.settings(scheme, **world.encryption()))
    try:
        await use_everything(adapter)
    finally:
        await adapter.close()


def test_every_token_has_an_id_of_its_own() -> None:
    signer = Signer("merchant", "key", Secret(base64.b64encode(b"x" * 32).decode()))

    def token_id() -> uuid.UUID:
        claims = signer.token("GET", "host", "/", b"", issued_at=1).split(".")[1]
        text = json.loads(base64.urlsafe_b64decode(claims + "=="))["jti"]
        assert str(uuid.UUID(text)) == text
        return uuid.UUID(text)

    ids = [token_id() for _ in range(100)]

    assert len(set(ids)) == 100
    assert {(one.version, one.variant) for one in ids} == {(4, uuid.RFC_4122)}


async def test_the_certificate_for_requests_may_lie_in_the_p12_file(world: World) -> None:
    adapter = visa("visa_sandbox", world.settings("jwt_rs256", mle_requests=True))
    outcome = await adapter.authorize(Authorize(fresh(), fresh("pay"), tenge(100), card()))
    await adapter.close()

    assert isinstance(outcome, Approved)


async def test_a_key_of_a_portfolio_signs_for_the_merchant(world: World) -> None:
    known = replace(
        world.simulator.credentials, portfolio_id="folio", portfolio_key_id="meta", portfolio_secret="c2VjcmV0"
    )
    (world.folder / "meta").write_text("c2VjcmV0")
    changes = {"key_id": "meta", "secret_file": str(world.folder / "meta"), "portfolio_id": "folio"}
    async with VisaSimulator(known) as simulator:
        for scheme in ("jwt_hs256", "http_signature"):
            adapter = visa("visa_sandbox", world.settings(scheme, url=simulator.base_url, **changes))
            outcome = await adapter.authorize(Authorize(fresh(), fresh("pay"), tenge(100), card()))
            await adapter.close()

            assert isinstance(outcome, Approved), scheme


async def test_a_reply_that_cannot_be_decrypted_is_unknown_and_found_again(world: World) -> None:
    own = world.folder / "own-key.pem"
    own.write_bytes((world.folder / "visa-keys" / "merchant-key.pem").read_bytes())
    changes = world.encryption() | {"mle_reply_key_file": str(own)}
    adapter = visa("visa_sandbox", world.settings(**changes))
    command = Authorize(fresh(), fresh("pay"), tenge(100), card())
    outcome = await adapter.authorize(command)
    await adapter.close()

    assert isinstance(outcome, Unknown)
    assert any(line["code"] == command.reference for line in world.simulator.journal())


async def test_a_reply_in_the_clear_is_not_believed_where_encryption_was_asked_for(world: World) -> None:
    adapter = visa("visa_sandbox", world.settings(**world.encryption()))
    world.simulator.fail_next("garbage")
    outcome = await adapter.authorize(Authorize(fresh(), fresh("pay"), tenge(100), card()))
    await adapter.close()

    assert isinstance(outcome, Unknown)


async def test_one_token_request_serves_all_who_wait_and_a_lost_token_is_replaced(world: World) -> None:
    adapter = visa("visa_sandbox", world.settings("oauth"))
    commands = [Authorize(fresh(), fresh("pay"), tenge(100), card()) for _ in range(8)]
    outcomes = await asyncio.gather(*(adapter.authorize(command) for command in commands))
    world.simulator.advance_clock(1_000)
    after = await adapter.authorize(Authorize(fresh(), fresh("pay"), tenge(100), card()))
    await adapter.close()

    assert all(isinstance(outcome, Approved) for outcome in outcomes)
    assert isinstance(after, Approved)


async def test_without_a_token_nothing_is_processed(world: World) -> None:
    (world.folder / "wrong").write_text("wrong")
    adapter = visa("visa_sandbox", world.settings("oauth", oauth_client_secret_file=str(world.folder / "wrong")))
    outcome = await adapter.authorize(Authorize(fresh(), fresh("pay"), tenge(100), card()))
    healthy = await adapter.healthy()
    await adapter.close()

    assert isinstance(outcome, NotProcessed)
    assert not healthy


async def test_the_next_address_is_asked_where_nothing_was_sent(world: World) -> None:
    adapter = visa("visa_sandbox", world.settings(url="http://127.0.0.1:9", more_urls=(world.simulator.base_url,)))
    outcomes = [await adapter.authorize(Authorize(fresh(), fresh("pay"), tenge(100), card())) for _ in range(3)]
    await adapter.close()

    assert all(isinstance(outcome, Approved) for outcome in outcomes)


async def test_an_authorisation_is_raised_and_captured_in_parts(adapter: VisaAdapter) -> None:
    reference = fresh("pay")
    first = await adapter.authorize(Authorize(fresh(), reference, tenge(100_00), card(), estimated=True))
    assert isinstance(first, Approved)
    raised = await adapter.increment(Increment(fresh(), reference, first.gateway_id, tenge(50_00), tenge(150_00)))
    parts = [
        await adapter.capture(
            Capture(fresh(), reference, first.gateway_id, tenge(75_00), final=number == 2, sequence=number)
        )
        for number in (1, 2)
    ]
    more = await adapter.capture(Capture(fresh(), reference, first.gateway_id, tenge(1), sequence=3))

    assert isinstance(raised, Approved)
    assert raised.amount == tenge(50_00)
    assert all(isinstance(part, Approved) for part in parts)
    assert isinstance(more, NotProcessed)


async def test_a_card_is_verified_credited_and_charged_as_stored(adapter: VisaAdapter) -> None:
    reference = fresh("pay")
    stored = StoredCredential(Initiator.CUSTOMER, first=True)
    verified = await adapter.verify(Verify(fresh(), reference, tenge(0), card(), stored=stored))
    credited = await adapter.credit(Credit(fresh(), fresh("pay"), tenge(5_00), card()))
    first = await adapter.authorize(Authorize(fresh(), fresh("pay"), tenge(10_00), card(), capture=True, stored=stored))
    assert isinstance(first, Approved)
    later = StoredCredential(
        Initiator.MERCHANT, reason=MerchantReason.UNSCHEDULED, network_transaction_id=first.network_transaction_id
    )
    again = await adapter.authorize(Authorize(fresh(), fresh("pay"), tenge(10_00), card(), stored=later))

    assert isinstance(verified, Approved), verified
    assert verified.amount == tenge(0)
    assert isinstance(credited, Approved), credited
    assert first.network_transaction_id
    assert first.checks.address
    assert isinstance(again, Approved), again


def authentication(number: str) -> tuple[StartAuthentication, Authenticate]:
    name, reference = fresh("auth"), fresh("pay")
    device = Device("203.0.113.7", "Mozilla/5.0", "*/*", "kk-KZ", 24, 1080, 1920, -300)
    return (
        StartAuthentication(name, reference, tenge(100_00), card(number)),
        Authenticate(name, reference, tenge(100_00), card(number), "", "https://shop.example/back", device),
    )


async def authenticated(adapter: VisaAdapter, number: str) -> Any:
    start, ask = authentication(number)
    collection = await adapter.start_authentication(start)
    assert isinstance(collection, DeviceCollection), collection
    ask = replace(ask, session=collection.session)
    result = await adapter.authenticate(ask)
    if isinstance(result, Challenge):
        assert result.url
        result = await adapter.complete_authentication(ask, result.transaction_id)
    return result


@pytest.mark.parametrize("number", ["4000000000001000", "4000000000001091", "4000000000001026", "5200000000001005"])
async def test_an_authenticated_payer_pays_with_the_proof(adapter: VisaAdapter, number: str) -> None:
    proof = await authenticated(adapter, number)
    assert isinstance(proof, Authenticated), proof
    outcome = await adapter.authorize(
        Authorize(fresh(), fresh("pay"), tenge(100_00), card(number), authentication=proof)
    )

    assert proof.liability_shift
    assert proof.value
    assert isinstance(outcome, Approved), outcome


@pytest.mark.parametrize(
    ("number", "proceed"), [("4000000000001018", False), ("4000000000001034", True), ("4000000000001042", False)]
)
async def test_a_payer_who_is_not_authenticated(adapter: VisaAdapter, number: str, proceed: bool) -> None:
    result = await authenticated(adapter, number)

    assert isinstance(result, NotAuthenticated), result
    assert result.proceed is proceed


@pytest.mark.parametrize("accept", [True, False])
async def test_a_payment_under_review_is_decided(adapter: VisaAdapter, accept: bool) -> None:
    command = Authorize(fresh(), fresh("pay"), tenge(100_00), card("4000000480000001"))
    outcome = await adapter.authorize(command)
    assert isinstance(outcome, InReview), outcome
    lost = Lost(command.operation_id, command.reference, OperationKind.AUTHORIZE, command.amount, datetime.now(UTC))
    reviewed = Reviewed(lost, outcome.gateway_id)
    waiting = await adapter.look_up_review(reviewed)
    decided = await adapter.decide_review(reviewed, accept=accept, note="seen")
    again = await adapter.look_up_review(reviewed)

    assert outcome.risk is not None
    assert outcome.risk.decision is RiskDecision.REVIEW
    assert isinstance(waiting, InReview)
    for found in (decided, again):
        assert isinstance(found, Approved if accept else Declined), found


async def test_a_day_is_settled_with_its_fees_and_disputes(adapter: VisaAdapter, world: World) -> None:
    reference = fresh("pay")
    sale = await adapter.authorize(Authorize(fresh(), reference, tenge(6_540_00), card(), capture=True))
    assert isinstance(sale, Approved)
    today = datetime.now(UTC).date()
    before = await adapter.settlement(today)
    world.simulator.cut_off()
    report = await adapter.settlement(today)
    world.simulator.services.disputes.open(sale.gateway_id, "chargeback", "10.4", None)
    disputes = await adapter.disputes(today, today + timedelta(days=1))

    assert before is None
    assert report is not None
    (line,) = report.lines
    assert (line.kind, line.reference, line.gateway_id, line.amount) == (
        LineKind.CAPTURE, reference, sale.gateway_id, tenge(6_540_00),
    )  # fmt: skip
    fees = line.interchange.minor + line.scheme_fee.minor + line.processing_fee.minor
    assert line.net_minor == 6_540_00 - fees
    (dispute,) = disputes
    assert (dispute.reference, dispute.reason_code, dispute.amount) == (reference, "10.4", tenge(6_540_00))


async def test_notifications_are_set_up_and_believed_only_with_the_key(adapter: VisaAdapter, world: World) -> None:
    key = await adapter.subscriptions.create_key(tenant="shanraq")
    subscription = await adapter.subscriptions.subscribe(
        name="payments",
        url="https://shop.example/notices",
        health_url="https://shop.example/health",
        product_id="payments",
        events=["payments.payments.accept"],
    )
    (world.folder / "notice").write_text(key.key.reveal())
    listening = visa(
        "visa_sandbox", world.settings(notice_key_id=key.key_id, notice_key_file=str(world.folder / "notice"))
    )
    data = {"id": "675", "clientReferenceInformation": {"code": "p1"}}
    body = json.dumps({"eventType": "payments.payments.accept", "payload": {"data": data}}).encode()
    signature = base64.b64encode(hmac.digest(base64.b64decode(key.key.reveal()), b"1000." + body, "sha256")).decode()
    headers = {"v-c-signature": f"t=1000;keyId={key.key_id};sig={signature}"}
    notice = listening.read_notice(headers, body, now_ms=1_500)
    forged = listening.read_notice(headers, body + b" ", now_ms=1_500)
    await adapter.subscriptions.remove(subscription.webhook_id)
    await listening.close()

    assert notice is not None
    assert (notice.kind, notice.references, notice.gateway_ids) == ("payments.payments.accept", ("p1",), ("675",))
    assert forged is None
    assert subscription.status in ("ACTIVE", "INACTIVE")


@pytest.mark.parametrize(
    ("scheme", "changes", "field"),
    [
        ("jwt_hs256", {"merchant_id": ""}, "merchant_id"),
        ("jwt_hs256", {"key_id": ""}, "key_id"),
        ("jwt_hs256", {"url": "apitest.cybersource.com"}, "url"),
        ("jwt_hs256", {"more_urls": ("nowhere",)}, "more_urls"),
        ("jwt_hs256", {"secret_file": "/nonexistent"}, "secret_file"),
        ("jwt_hs256", {"secret_file": __file__}, "secret_file"),
        ("jwt_hs256", {"mle_requests": True}, "mle_certificate_file"),
        ("jwt_hs256", {"mle_requests": True, "mle_certificate_file": __file__}, "mle_certificate_file"),
        ("jwt_hs256", {"mle_reply_key_id": "1"}, "mle_reply_key_file"),
        ("jwt_hs256", {"mle_reply_key_id": "1", "mle_reply_key_file": __file__}, "mle_reply_key_file"),
        ("jwt_hs256", {"notice_key_id": "1"}, "notice_key_file"),
        ("jwt_hs256", {"tls_ca_file": __file__}, "tls_ca_file"),
        ("jwt_rs256", {"p12_file": __file__}, "p12_file"),
        ("jwt_rs256", {"merchant_id": "somebody"}, "p12_file"),
        ("jwt_rs256", {"p12_password_file": __file__}, "p12_file"),
        ("oauth", {"oauth_client_id": ""}, "oauth_client_id"),
        ("oauth", {"url": "http://127.0.0.1:1"}, "url"),
        ("oauth", {"tls_key_file": __file__}, "tls_key_file"),
        ("oauth", {"tls_key_file": ""}, "tls_key_file"),
    ],
)
async def test_settings_that_cannot_be_are_refused_by_name(
    world: World, scheme: str, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        visa("visa_live", world.settings(scheme, **changes))

    assert refused.value.field == f"visa_live.{field}"


@pytest.mark.parametrize("scheme", ["http_signature", "oauth"])
async def test_encryption_needs_a_jwt(world: World, scheme: str) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        visa("visa_live", world.settings(scheme, **world.encryption()))

    assert refused.value.field == "visa_live.mle_requests"


@pytest.mark.parametrize(("days", "refused"), [(-1, True), (30, False)])
async def test_certificates_end(world: World, days: int, refused: bool) -> None:
    file = world.folder / "ends.pem"
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "g"), x509.NameAttribute(NameOID.SERIAL_NUMBER, "1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    settings = world.settings(mle_requests=True, mle_certificate_file=str(file))
    if refused:
        with pytest.raises(InvalidSettingError, match="expired"):
            visa("visa_live", settings)
        return
    with capture_logs() as logs:
        adapter = visa("visa_live", settings)
    await adapter.close()

    assert any(line["event"] == "visa.certificate_expires" for line in logs)
