"""Authenticate a cardholder (EMV 3-D Secure 2): start, authenticate, complete after a challenge; a payment uses it up.

Nothing here moves money, so what has no usable answer is simply asked again. The authentication value (CAVV, AAV) is sealed, in
no reply, event or log, and destroyed when the payment that carries it is sent: it is not kept after authorisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, assert_never
from urllib.parse import urlsplit

import msgspec
import structlog

from shanraq import audit
from shanraq.core import once
from shanraq.core.actor import Actor, Environment
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database, Row, Tx
from shanraq.core.fields import Amount, CurrencyCode, PaymentMethodId
from shanraq.core.ids import new_id
from shanraq.core.lifecycle import IllegalMoveError, Lifecycle
from shanraq.core.money import Currency, Money
from shanraq.core.reseal import Sealed
from shanraq.payments import authentication_store, vault
from shanraq.payments.adapter import (
    Adapter,
    Authenticate,
    Authenticated,
    Authenticates,
    Authentication,
    Billing,
    Challenge,
    Device,
    DeviceCollection,
    NotAuthenticated,
    StartAuthentication,
    Unknown,
)
from shanraq.payments.ask import ask_once
from shanraq.payments.errors import (
    AuthenticationNotUsableError,
    InvalidReturnUrlError,
    NoUsableAnswerError,
    OperationNotSupportedError,
)
from shanraq.payments.model import PREFIX, BillingDetails, DeviceDetails, Failure, PaymentMethod
from shanraq.payments.route import route
from shanraq.payments.routing import BIN_DIGITS, Facts, RoutedOperation
from shanraq.payments.send import Acquiring
from shanraq.payments.settle import failure_of

log = structlog.get_logger(__name__)

AUTHENTICATION_PREFIX: Final = authentication_store.PREFIX
USABLE_FOR: Final = timedelta(days=30)
"""How long an authentication can be used by a payment; then its value is destroyed."""
_FIELD: Final = "authentication_id"


class AuthenticationStatus(Lifecycle):
    """`started` waits for the payer's device, `challenge` for the payer; `used` was carried by a payment."""

    STARTED = "started", ("challenge", "authenticated", "not_authenticated")
    CHALLENGE = "challenge", ("challenge", "authenticated", "not_authenticated")
    AUTHENTICATED = "authenticated", ("used",)
    NOT_AUTHENTICATED = "not_authenticated"
    USED = "used"


class BrowserForm(msgspec.Struct, frozen=True, kw_only=True):
    """A form that the payer's browser posts to `url`, with `fields` as hidden inputs."""

    url: str
    fields: dict[str, str]


class NewAuthentication(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a partner asks for: authenticate the holder of a card for a payment of `amount` minor units."""

    payment_method_id: PaymentMethodId
    amount: Amount
    currency: CurrencyCode


class AuthenticationRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payer's browser, and where it comes back to after a challenge."""

    return_url: Annotated[str, msgspec.Meta(max_length=2048, description="An absolute https URL.")]
    device: DeviceDetails
    billing: BillingDetails = BillingDetails()


class CardholderAuthentication(msgspec.Struct, frozen=True, kw_only=True):
    """An authentication as the partner sees it.

    `device_collection` is a form to post in a hidden frame before `authenticate`, `challenge` one to post in a visible frame
    before `complete`. `transaction_status` is transStatus and `eci` the indicator of the scheme. `proceed` tells that the payer
    was not authenticated but the payment may be tried, without liability shift. `payment_id` is the payment that used it.
    """

    id: str
    payment_method_id: str
    amount: int
    currency: str
    status: AuthenticationStatus
    device_collection: BrowserForm | None
    challenge: BrowserForm | None
    transaction_status: str
    eci: str
    protocol_version: str
    directory_server_id: str
    liability_shift: bool
    proceed: bool
    failure: Failure | None
    payment_id: str | None
    created_at: datetime
    updated_at: datetime


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of the outcome: everything but the authentication value."""

    status: str = ""
    eci: str = ""
    directory_server_id: str = ""
    version: str = ""
    liability_shift: bool = False
    proceed: bool = False


@dataclass(frozen=True, slots=True)
class Usable:
    """An authentication that a payment uses up: what the gateway is told, which gateway made it, the payment's id."""

    authenticated: Authenticated
    adapter: str
    payment_id: str


async def start_authentication(
    acquiring: Acquiring, actor: Actor, key: str | None, new: NewAuthentication
) -> once.Given[CardholderAuthentication]:
    """Begin to authenticate the holder of a card for a payment.

    Raises PaymentMethodNotFoundError, CardExpiredError, InvalidAmountError, OperationNotSupportedError, NoAdapterError,
    NoUsableAnswerError, and the errors of core.once.
    """
    actor.require("payments:write")
    amount = Money.positive(new.amount, new.currency)
    request = once.Request.of("authentications.start", key, new)
    partner_id, environment = actor.scope
    gateways = acquiring.gateways
    authentication_id, payment_id = new_id(AUTHENTICATION_PREFIX), new_id(PREFIX)

    async def prepare(tx: Tx) -> tuple[str, PaymentMethod, StartAuthentication]:
        method, card = await vault.open_card(tx, acquiring.keyring, new.payment_method_id, None)
        # The payment that uses it stays where it is made, so it goes where the rules send that payment, if it can.
        routing = await route(
            tx,
            gateways,
            Facts(
                payment_id=payment_id,
                partner_id=partner_id,
                environment=environment,
                bin=card.pan.reveal()[:BIN_DIGITS],
                scheme=method.brand,
                amount=amount,
                capture=None,
                operation=RoutedOperation.AUTHENTICATION,
            ),
        )
        return routing.candidates[0].adapter, method, StartAuthentication(authentication_id, payment_id, amount, card)

    async def ask(
        prepared: tuple[str, PaymentMethod, StartAuthentication],
    ) -> DeviceCollection | NotAuthenticated:
        adapter = _able(gateways.named(environment, prepared[0]))
        try:
            told = await adapter.start_authentication(prepared[2])
        except Exception:
            log.exception("payments.adapter_broke", adapter=prepared[0], authentication=authentication_id)
            raise NoUsableAnswerError from None
        if isinstance(told, Unknown):
            raise NoUsableAnswerError
        return told

    async def write(
        tx: Tx, prepared: tuple[str, PaymentMethod, StartAuthentication], told: DeviceCollection | NotAuthenticated
    ) -> CardholderAuthentication:
        name, method, _ = prepared
        form: BrowserForm | None = None
        session: bytes | None = None
        result, failure = Result(), None
        match told:
            case DeviceCollection():
                status = AuthenticationStatus.STARTED
                form = BrowserForm(url=told.url, fields=dict(told.fields)) if told.url else None
                session = acquiring.keyring.seal(told.session.encode(), context=_context(authentication_id))
            case NotAuthenticated():
                status, failure = AuthenticationStatus.NOT_AUTHENTICATED, failure_of(told.reason)
                result = Result(status=told.status, proceed=told.proceed)
            case _:
                assert_never(told)
        await authentication_store.insert(
            tx,
            authentication_store.New(
                id=authentication_id,
                adapter=name,
                payment_id=payment_id,
                payment_method_id=method.id,
                fingerprint=bytes.fromhex(method.fingerprint),
                amount=amount.minor,
                currency=amount.currency.code,
                status=status,
                form=form,
                session_sealed=session,
                result=result,
                failure=failure,
            ),
        )
        audit.record(tx, "authentication.started", authentication_id, {"status": status.value, "adapter": name})
        return _seen(await authentication_store.load(tx, authentication_id))

    return await ask_once(acquiring.db, actor, request, CardholderAuthentication, prepare, ask, write)


async def authenticate(
    acquiring: Acquiring, actor: Actor, key: str | None, authentication_id: str, asked: AuthenticationRequest
) -> once.Given[CardholderAuthentication]:
    """Ask the directory server, when the payer's device was collected: the answer, or a challenge.

    Raises AuthenticationNotFoundError, IllegalMoveError, InvalidReturnUrlError, PaymentMethodNotFoundError, CardExpiredError,
    NoUsableAnswerError, and the errors of core.once.
    """
    actor.require("payments:write")
    _check_return_url(asked.return_url, actor.scope[1])
    request = once.Request.of("authentications.authenticate", key, asked, authentication_id)
    return await _go_on(acquiring, actor, request, authentication_id, asked)


async def complete_authentication(
    acquiring: Acquiring, actor: Actor, key: str | None, authentication_id: str
) -> once.Given[CardholderAuthentication]:
    """Fetch the result when the payer is back from the challenge; still `challenge` means that it is not known yet.

    Ask again with another key then. Raises as `authenticate`.
    """
    actor.require("payments:write")
    request = once.Request.of("authentications.complete", key, None, authentication_id)
    return await _go_on(acquiring, actor, request, authentication_id, None)


async def find_authentication(db: Database, actor: Actor, authentication_id: str) -> CardholderAuthentication:
    """Return an authentication. Raises AuthenticationNotFoundError."""
    actor.require("payments:read")
    async with db.begin(actor) as tx:
        return _seen(await authentication_store.load(tx, authentication_id))


async def use_authentication(
    tx: Tx, keyring: Keyring, authentication_id: str | None, method: PaymentMethod, amount: Money
) -> Usable | None:
    """Use an authentication up for a payment, in its transaction; None where the payment names none.

    Raises AuthenticationNotFoundError, AuthenticationNotUsableError.
    """
    if authentication_id is None:
        return None
    row = await authentication_store.load(tx, authentication_id, lock=True)
    status = AuthenticationStatus(row["status"])
    if status is not AuthenticationStatus.AUTHENTICATED:
        raise AuthenticationNotUsableError(f"it is {status.value}", field=_FIELD)
    if row["fingerprint"].hex() != method.fingerprint:
        raise AuthenticationNotUsableError("it is for another card", field=_FIELD)
    if row["currency"] != amount.currency.code:
        raise AuthenticationNotUsableError(f"it is for {row['currency']}", field=_FIELD)
    if row["amount"] < amount.minor:
        raise AuthenticationNotUsableError(f"it is for at most {_money(row)}", field=_FIELD)
    if tx.now - row["updated_at"] > USABLE_FOR:
        raise AuthenticationNotUsableError("it is too old", field=_FIELD)
    sealed = row["value_sealed"]
    value = keyring.open(sealed, context=_context(authentication_id)).decode() if sealed is not None else ""
    result = msgspec.convert(row["result"], Result)
    await authentication_store.mark_used(tx, row, status.to(AuthenticationStatus.USED))
    audit.record(tx, "authentication.used", authentication_id, {"payment": row["payment_id"]})
    return Usable(
        Authenticated(
            transaction_id=row["transaction_id"],
            status=result.status,
            eci=result.eci,
            value=value,
            directory_server_id=result.directory_server_id,
            version=result.version,
            liability_shift=result.liability_shift,
        ),
        row["adapter"],
        row["payment_id"],
    )


async def forget_authentications(tx: Tx) -> int:
    """Destroy the values and sessions of authentications that cannot be used any more; returns how many."""
    return await authentication_store.destroy_values(tx, tx.now - USABLE_FOR)


async def _go_on(
    acquiring: Acquiring,
    actor: Actor,
    request: once.Request,
    authentication_id: str,
    asked: AuthenticationRequest | None,
) -> once.Given[CardholderAuthentication]:
    """Authenticate with what was asked, or without it complete a challenge."""
    before = AuthenticationStatus.STARTED if asked is not None else AuthenticationStatus.CHALLENGE
    what = "authenticated" if asked is not None else "completed"

    async def prepare(tx: Tx) -> tuple[Row, Authenticate]:
        row = await authentication_store.load(tx, authentication_id)
        _check_status(row, before)
        _, card = await vault.open_card(tx, acquiring.keyring, row["payment_method_id"], None)
        session = acquiring.keyring.open(row["session_sealed"], context=_context(authentication_id)).decode()
        return row, Authenticate(
            authentication_id=authentication_id,
            reference=row["payment_id"],
            amount=_money(row),
            card=card,
            session=session,
            return_url=asked.return_url if asked is not None else row["return_url"],
            device=Device(**msgspec.structs.asdict(asked.device)) if asked is not None else Device(),
            billing=Billing(**msgspec.structs.asdict(asked.billing)) if asked is not None else Billing(),
        )

    async def ask(prepared: tuple[Row, Authenticate]) -> Authentication:
        row, command = prepared
        adapter = _able(acquiring.gateways.named(actor.scope[1], row["adapter"]))
        try:
            if asked is not None:
                told = await adapter.authenticate(command)
            else:
                told = await adapter.complete_authentication(command, row["transaction_id"])
        except Exception:
            log.exception("payments.adapter_broke", adapter=row["adapter"], authentication=authentication_id)
            raise NoUsableAnswerError from None
        if isinstance(told, Unknown):
            raise NoUsableAnswerError
        return told

    async def write(tx: Tx, prepared: tuple[Row, Authenticate], told: Authentication) -> CardholderAuthentication:
        row = await authentication_store.load(tx, authentication_id, lock=True)
        _check_status(row, before)
        change = _change_of(acquiring.keyring, authentication_id, row, told, prepared[1].return_url)
        before.to(change.status)
        await authentication_store.move(tx, row, change)
        audit.record(tx, f"authentication.{what}", authentication_id, {"status": change.status.value})
        return _seen(await authentication_store.load(tx, authentication_id))

    return await ask_once(acquiring.db, actor, request, CardholderAuthentication, prepare, ask, write)


def _change_of(
    keyring: Keyring, authentication_id: str, row: Row, told: Authentication, return_url: str
) -> authentication_store.Change:
    context = _context(authentication_id)
    match told:
        case Authenticated():
            return authentication_store.Change(
                status=AuthenticationStatus.AUTHENTICATED,
                transaction_id=told.transaction_id,
                return_url=return_url,
                value_sealed=keyring.seal(told.value.encode(), context=context) if told.value else None,
                result=Result(
                    status=told.status,
                    eci=told.eci,
                    directory_server_id=told.directory_server_id,
                    version=told.version,
                    liability_shift=told.liability_shift,
                ),
            )
        case Challenge():
            return authentication_store.Change(
                status=AuthenticationStatus.CHALLENGE,
                transaction_id=told.transaction_id,
                return_url=return_url,
                form=BrowserForm(url=told.url, fields=dict(told.fields)) if told.url else row["form"],
                session_sealed=row["session_sealed"],
            )
        case NotAuthenticated():
            return authentication_store.Change(
                status=AuthenticationStatus.NOT_AUTHENTICATED,
                transaction_id=row["transaction_id"],
                return_url=return_url,
                result=Result(status=told.status, proceed=told.proceed),
                failure=failure_of(told.reason),
            )
        case Unknown():
            raise NoUsableAnswerError
        case _:
            assert_never(told)


def _able(adapter: Adapter) -> Authenticates:
    if not isinstance(adapter, Authenticates):
        raise OperationNotSupportedError(f"this payment system offers no {RoutedOperation.AUTHENTICATION.words}")
    return adapter


def _check_status(row: Row, before: AuthenticationStatus) -> None:
    status = AuthenticationStatus(row["status"])
    if status is not before:
        raise IllegalMoveError(f"it is {status.value}, not {before.value}", field="authentication_id")


def _check_return_url(url: str, environment: Environment) -> None:
    parts = urlsplit(url)
    schemes = ("https",) if environment is Environment.LIVE else ("https", "http")
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc or not url.isprintable():
        raise InvalidReturnUrlError(field="return_url")


def _money(row: Row) -> Money:
    return Money(row["amount"], Currency.historic(row["currency"]))


def _seen(row: Row) -> CardholderAuthentication:
    status = AuthenticationStatus(row["status"])
    result = msgspec.convert(row["result"] or {}, Result)
    form = msgspec.convert(row["form"], BrowserForm) if row["form"] is not None else None
    return CardholderAuthentication(
        id=row["id"],
        payment_method_id=row["payment_method_id"],
        amount=row["amount"],
        currency=row["currency"],
        status=status,
        device_collection=form if status is AuthenticationStatus.STARTED else None,
        challenge=form if status is AuthenticationStatus.CHALLENGE else None,
        transaction_status=result.status,
        eci=result.eci,
        protocol_version=result.version,
        directory_server_id=result.directory_server_id,
        liability_shift=result.liability_shift,
        proceed=result.proceed,
        failure=msgspec.convert(row["failure"], Failure) if row["failure"] is not None else None,
        payment_id=row["payment_id"] if status is AuthenticationStatus.USED else None,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _context(authentication_id: str) -> str:
    return f"payment_authentication/{authentication_id}"


SEALED: Final = tuple(
    Sealed("payment_authentication", ("id",), column, _context) for column in ("session_sealed", "value_sealed")
)
