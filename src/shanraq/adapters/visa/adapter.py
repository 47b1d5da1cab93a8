"""Visa over the CyberSource / Visa Acceptance REST API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from shanraq.adapters.endpoints import Endpoints, Policy
from shanraq.adapters.visa import notices, payer, reports, review, wire
from shanraq.adapters.visa.codes import UNREACHABLE
from shanraq.adapters.visa.exchange import Exchange
from shanraq.adapters.visa.mle import Envelopes
from shanraq.adapters.visa.oauth import AccessTokens
from shanraq.adapters.visa.sign import Bearer, Scheme, Signer, shared_secret
from shanraq.adapters.visa.subscriptions import Subscriptions
from shanraq.core.breaker import BreakerLimits
from shanraq.core.errors import InvalidInputError
from shanraq.core.http import HttpClient, HttpError, Response
from shanraq.core.secret import Secret
from shanraq.payments.adapter import (
    Approved,
    Authenticate,
    Authentication,
    Authorize,
    Capture,
    Credit,
    DeviceCollection,
    ExtendedCommand,
    Finding,
    Increment,
    InReview,
    Lost,
    NotAuthenticated,
    NotFound,
    Notice,
    NotProcessed,
    OperationKind,
    Outcome,
    Refund,
    Reverse,
    Reviewed,
    StartAuthentication,
    Unknown,
    Verify,
    Void,
)
from shanraq.settlement.port import DisputeNotice, SettlementLine, SettlementReport, SettlementUnreadableError


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """What an OAuth client gets its access tokens with; its client certificate is that of the HTTP client."""

    client_id: str
    client_secret: Secret
    refresh_token: Secret


@dataclass(frozen=True, slots=True)
class VisaConfiguration:
    """A merchant at CyberSource. `secret` is the base64 shared secret of `key_id`, for JWT with HS256.

    `scheme` is another way to authenticate, `oauth` the one with access tokens; `key_id` and `secret` are then not used.
    `request_host` is the name that is signed, where it is not the one of the endpoint; `index_lag_seconds` how long the search
    index may be behind before a search that finds nothing proves anything. `more_base_urls` are further addresses of the same
    gateway. `notice_keys` are the keys (base64) that notifications are signed with, by their id.
    """

    base_url: str
    merchant_id: str
    key_id: str = ""
    secret: Secret = field(default_factory=lambda: Secret(""))
    portfolio_id: str | None = None
    request_host: str | None = None
    timeout_seconds: float = 20.0
    index_lag_seconds: float = 10.0
    scheme: Scheme | None = None
    oauth: OAuthClient | None = None
    envelopes: Envelopes = field(default_factory=Envelopes)
    more_base_urls: tuple[str, ...] = ()
    endpoint_policy: Policy = Policy.ROUND_ROBIN
    breaker: BreakerLimits = field(default_factory=BreakerLimits)
    notice_keys: Mapping[str, Secret] = field(default_factory=dict)


class VisaAdapter:
    """The payments port over CyberSource REST: one authenticated request a command, never sent twice.

    A payment that risk rules decline after the issuer approved comes back as Declined with `reason.release`: reversing it is
    another operation with an id of its own, which payments order and recover like any other. Raises InvalidInputError for a
    secret that is not base64, and for encryption with a scheme that does not offer it.
    """

    name = "visa"

    def __init__(self, configuration: VisaConfiguration, client: HttpClient) -> None:
        self._configuration = configuration
        self._merchant_id = configuration.merchant_id
        self.endpoints = Endpoints(
            client,
            (configuration.base_url.rstrip("/"), *configuration.more_base_urls),
            policy=configuration.endpoint_policy,
            limits=configuration.breaker,
        )
        scheme, tokens = _authentication(configuration, self.endpoints)
        envelopes = configuration.envelopes
        if envelopes.request_key is not None and not scheme.encrypts:
            raise InvalidInputError("encrypted requests need a JWT", field="mle_requests")
        if envelopes.reply_key is not None and not scheme.asks_for_encryption:
            raise InvalidInputError("encrypted replies need a JWT", field="mle_reply_key_id")
        self._exchange = Exchange(
            self.endpoints,
            scheme,
            envelopes,
            timeout_seconds=configuration.timeout_seconds,
            tokens=tokens,
            request_host=configuration.request_host,
        )
        self._notice_keys = {name: shared_secret(secret) for name, secret in configuration.notice_keys.items()}
        self.subscriptions = Subscriptions(self._exchange, configuration.merchant_id)
        # The index may be behind by its lag, and what was sent may be processed until our own deadline is over.
        self.settled_after = timedelta(seconds=configuration.timeout_seconds + 2 * configuration.index_lag_seconds)

    def __repr__(self) -> str:
        return f"VisaAdapter({self._configuration.base_url}, {self._merchant_id})"

    @property
    def available(self) -> bool:
        """Tell whether a command would be sent now: False while every circuit breaker is open."""
        return self.endpoints.available

    async def authorize(self, command: Authorize) -> Outcome:
        """Authorise, or with `capture` sell."""
        return await self._carry_out(command)

    async def capture(self, command: Capture) -> Outcome:
        """Capture an authorisation."""
        return await self._carry_out(command)

    async def refund(self, command: Refund) -> Outcome:
        """Refund a capture or a sale."""
        return await self._carry_out(command)

    async def void(self, command: Void) -> Outcome:
        """Void a capture, refund or sale that has not left for clearing."""
        return await self._carry_out(command)

    async def reverse(self, command: Reverse) -> Outcome:
        """Reverse an authorisation."""
        return await self._carry_out(command)

    async def increment(self, command: Increment) -> Outcome:
        """Raise an authorisation."""
        return await self._carry_out(command)

    async def credit(self, command: Credit) -> Outcome:
        """Pay to a card without an earlier payment."""
        return await self._carry_out(command)

    async def verify(self, command: Verify) -> Outcome:
        """Check a card with an authorisation of zero."""
        return await self._carry_out(command)

    async def inquire(self, lost: Lost) -> Finding:
        """Search for a lost operation by its transactionId."""
        found = await self._search(lost)
        if isinstance(found, wire.TakenBack):
            return NotFound()
        if isinstance(found, Approved) and lost.kind is OperationKind.AUTHORIZE:
            return await self._amount_approved(lost, found)
        return found

    async def undo(self, lost: Lost) -> Finding:
        """Take a lost operation back: timeout reversal of an authorisation, timeout void of a sale, capture or refund."""
        if lost.kind in _STAYS:
            found = await self._search(lost)
            return found if isinstance(found, NotFound | Unknown) else Unknown("undo: it cannot be taken back")
        undone = await self._take_back(lost)
        if isinstance(undone, Approved) and lost.kind is OperationKind.AUTHORIZE and lost.sale:
            return await self._release(lost, undone)
        return undone

    # Authentication of cardholders.

    async def start_authentication(self, command: StartAuthentication) -> DeviceCollection | NotAuthenticated | Unknown:
        """Set an authentication up."""
        body = payer.setup_body(command)
        try:
            response = await self._send("authentication", command.authentication_id, "POST", payer.SETUP, body)
        except HttpError as error:
            return Unknown(f"authentication: {error.error_code}")
        return payer.read_setup(command, response.status, response.body)

    async def authenticate(self, command: Authenticate) -> Authentication:
        """Ask the directory server (enrolment)."""
        return await self._authenticate(command, payer.ENROLMENT, payer.enrolment_body(command))

    async def complete_authentication(self, command: Authenticate, transaction_id: str) -> Authentication:
        """Fetch the result of a challenge (validation)."""
        return await self._authenticate(command, payer.VALIDATION, payer.validation_body(command, transaction_id))

    async def _authenticate(self, command: Authenticate, path: str, body: bytes) -> Authentication:
        try:
            response = await self._send("authentication", command.authentication_id, "POST", path, body)
        except HttpError as error:
            return Unknown(f"authentication: {error.error_code}")
        return payer.read_authentication(command, response.status, response.body)

    # Payments under review.

    async def look_up_review(self, reviewed: Reviewed) -> Finding:
        """Ask what was decided on a payment under review."""
        path = f"/tss/v2/transactions/{reviewed.gateway_id}"
        try:
            response = await self._send("review", reviewed.lost.operation_id, "GET", path)
        except HttpError as error:
            return Unknown(f"review: {error.error_code}")
        return review.finding_of(reviewed, response.status, response.body)

    async def decide_review(self, reviewed: Reviewed, *, accept: bool, note: str) -> Finding | NotProcessed:
        """Decide on a payment under review; what was decided before is found by a look at the payment."""
        body = review.decision_body(accept=accept, note=note)
        try:
            response = await self._send("decision", reviewed.lost.operation_id, "POST", review.path_of(reviewed), body)
        except HttpError as error:
            if not error.sent:
                return NotProcessed(UNREACHABLE, retryable=True)
            return Unknown(f"decision: {error.error_code}")
        if review.is_decided(reviewed, response.status, response.body, accept=accept) and not accept:
            return review.rejected(reviewed)
        return await self.look_up_review(reviewed)

    # Notifications.

    def read_notice(self, headers: dict[str, str], body: bytes, *, now_ms: int) -> Notice | None:
        """Verify and read a notification; names of headers in lower case."""
        if not notices.is_authentic(self._notice_keys, headers.get("v-c-signature", ""), body, now_ms=now_ms):
            return None
        return notices.read(headers, body)

    # Settlement.

    async def settlement(self, day: date) -> SettlementReport | None:
        """Return what was settled on a day (UTC); None as long as the day gave nothing and is not over."""
        lines: list[SettlementLine] = []
        offset = 0
        while True:
            found, page = reports.read_details(await self._report(reports.details_path(self._merchant_id, day, offset)))
            lines += page
            offset += found
            if found < reports.PAGE:
                break
        lines += reports.read_dispute_lines(await self._report(reports.disputes_path(self._merchant_id, day, day)))
        over = day < datetime.now(UTC).date()
        return reports.report_of(day, lines, complete=over) if lines or over else None

    async def disputes(self, since: date, until: date) -> tuple[DisputeNotice, ...]:
        """Return the disputes that were opened or moved on these days, the last one included."""
        return reports.read_disputes(await self._report(reports.disputes_path(self._merchant_id, since, until)))

    async def _report(self, path: str) -> bytes:
        try:
            response = await self._send("report", "", "GET", path)
        except HttpError as error:
            raise SettlementUnreadableError(f"no report ({error.error_code})") from None
        if response.status != 200:
            raise SettlementUnreadableError(f"no report (HTTP {response.status})")
        return response.body

    async def healthy(self) -> bool:
        """Tell whether an endpoint answers and knows our credentials."""
        return await self._exchange.healthy("/tss/v2/transactions/0")

    async def close(self) -> None:
        """Close the connections."""
        await self.endpoints.close()

    async def _carry_out(self, command: ExtendedCommand) -> Outcome:
        method, path, body = wire.request_of(command)
        # Only some merchants have it switched on: it spares them a request repeated on the way, and proves nothing.
        once = ("v-c-idempotency-id", command.operation_id)
        try:
            response = await self._send(type(command).__name__.lower(), command.operation_id, method, path, body, once)
        except HttpError as error:
            return Unknown(error.error_code) if error.sent else NotProcessed(UNREACHABLE, retryable=True)
        return wire.outcome_of(command, response.status, response.body)

    async def _search(self, lost: Lost) -> Finding | wire.TakenBack:
        path, body = wire.search_of(lost)
        try:
            response = await self._send("search", lost.operation_id, "POST", path, body)
        except HttpError as error:
            return Unknown(f"search: {error.error_code}")
        return wire.finding_of(lost, response.status, response.body)

    async def _amount_approved(self, lost: Lost, found: Approved) -> Approved | Unknown:
        try:
            response = await self._send("details", lost.operation_id, "GET", f"/tss/v2/transactions/{found.gateway_id}")
        except HttpError as error:
            return Unknown(f"details: {error.error_code}")
        return wire.detail_of(lost, found, response.status, response.body)

    async def _take_back(self, lost: Lost) -> Finding:
        path, body = wire.undo_of(lost)
        try:
            response = await self._send("undo", lost.operation_id, "POST", path, body)
        except HttpError as error:
            return Unknown(f"undo: {error.error_code}")
        undone = wire.undone_of(lost, response.status, response.body)
        if undone is not None:
            return undone
        # Refused: taken back by an earlier request whose answer was lost, never there, or there to stay.
        found = await self._search(lost)
        if isinstance(found, wire.TakenBack):
            return Approved(found.gateway_id, lost.amount)
        if isinstance(found, Approved | InReview):
            return Unknown("undo: it stands and cannot be taken back")
        return found

    async def _release(self, lost: Lost, undone: Approved) -> Finding:
        # The void of a sale takes the money back and leaves the issuer's hold, which stays for days unless it is reversed.
        path, body = wire.release_of(lost)
        try:
            response = await self._send("release", lost.operation_id, "POST", path, body)
        except HttpError as error:
            return Unknown(f"release: {error.error_code}")
        released = wire.undone_of(lost, response.status, response.body)
        # The money is back, whether or not a hold was left to release; only without an answer it has to be asked again.
        return released if isinstance(released, Unknown) else undone

    async def _send(
        self, kind: str, operation_id: str, method: str, path: str, body: bytes = b"", *headers: tuple[str, str]
    ) -> Response:
        return await self._exchange.send(kind, operation_id, method, path, body, *headers)


# What no timeout reversal or void takes back: an increment is part of its authorisation, a verification moves nothing.
_STAYS = frozenset({OperationKind.VOID, OperationKind.REVERSE, OperationKind.INCREMENT, OperationKind.VERIFY})


def _authentication(configuration: VisaConfiguration, endpoints: Endpoints) -> tuple[Scheme, AccessTokens | None]:
    if configuration.oauth is not None:
        client = configuration.oauth
        return Bearer(), AccessTokens(endpoints, client.client_id, client.client_secret, client.refresh_token)
    if configuration.scheme is not None:
        return configuration.scheme, None
    return (
        Signer(configuration.merchant_id, configuration.key_id, configuration.secret, configuration.portfolio_id),
        None,
    )
