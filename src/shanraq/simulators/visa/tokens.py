"""Token management (TMS): customers, payment instruments, instrument identifiers, addresses, network tokens.

A token never keeps the number it stands for: it keeps the first six and the last four digits, a keyed hash that finds the
token of the same number again, and what the number makes the simulator do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.bins import bin_details, brand_of
from shanraq.simulators.visa.card import Card, behaviour_of, fingerprint, scenario_of
from shanraq.simulators.visa.ids import Ids
from shanraq.simulators.visa.model import JournalEntry, Refusal
from shanraq.simulators.visa.render import json_reply
from shanraq.simulators.visa.resources import (
    Customer,
    InstrumentIdentifier,
    Kept,
    MaskedCard,
    NetworkToken,
    PaymentInstrument,
    Removed,
    ShippingAddress,
)
from shanraq.simulators.visa.route import Call, Handler, Verb
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.validate import (
    Body,
    get,
    optional,
    page_of,
    read_number,
    read_payment_card,
    refuse_card_numbers,
    require_object,
    texts,
)

Publish = Callable[[str, str, dict[str, Any]], None]

_CUSTOMERS: Final = "/tms/v2/customers"
_INSTRUMENTS: Final = "/tms/v1/paymentinstruments"
_IDENTIFIERS: Final = "/tms/v1/instrumentidentifiers"
_NETWORK_TOKENS: Final = "/tms/v2/tokenized-cards"
_TOKEN_TYPES: Final = frozenset({"customer", "paymentInstrument", "instrumentIdentifier", "shippingAddress"})
_CARD_NAMES: Final = {
    "001": "visa",
    "002": "mastercard",
    "003": "american express",
    "004": "discover",
    "005": "diners club",
    "007": "jcb",
    "024": "maestro",
    "042": "maestro",
    "062": "china unionpay",
}
_CARD_TYPES: Final = {name: code for code, name in reversed(_CARD_NAMES.items())}
_KEPT_OF_CUSTOMER: Final = (
    "buyerInformation",
    "clientReferenceInformation",
    "merchantDefinedInformation",
    "objectInformation",
)
_KEPT_OF_INSTRUMENT: Final = ("billTo", "buyerInformation", "processingInformation", "merchantInformation")
_STATES: Final = frozenset({"ACTIVE", "SUSPENDED", "DELETED"})


class Tokens:
    """Keeps the tokens of all merchants; `keep` puts an entry into the journal and the store."""

    def __init__(
        self,
        store: Store,
        keep: Callable[[JournalEntry], None],
        now: Callable[[], datetime],
        ids: Ids,
        key: bytes,
        publish: Publish,
    ) -> None:
        self._store = store
        self._keep = keep
        self._now = now
        self._ids = ids
        self._key = key
        self._publish = publish

    def handlers(self) -> Mapping[Verb, Handler]:
        """Return what answers each operation."""
        return {
            Verb.TOKENIZE: self._tokenize,
            Verb.CREATE_CUSTOMER: self._create_customer,
            Verb.GET_CUSTOMER: lambda call: json_reply(200, self._show_customer(self._customer(call))),
            Verb.UPDATE_CUSTOMER: self._update_customer,
            Verb.DELETE_CUSTOMER: self._delete_customer,
            Verb.CREATE_CUSTOMER_INSTRUMENT: self._create_instrument,
            Verb.LIST_CUSTOMER_INSTRUMENTS: self._list_customer_instruments,
            Verb.GET_CUSTOMER_INSTRUMENT: self._get_instrument,
            Verb.UPDATE_CUSTOMER_INSTRUMENT: self._update_instrument,
            Verb.DELETE_CUSTOMER_INSTRUMENT: self._delete_instrument,
            Verb.CREATE_ADDRESS: self._create_address,
            Verb.LIST_ADDRESSES: self._list_addresses,
            Verb.GET_ADDRESS: lambda call: json_reply(200, _show_address(self._address(call))),
            Verb.UPDATE_ADDRESS: self._update_address,
            Verb.DELETE_ADDRESS: lambda call: self._delete(self._address(call)),
            Verb.CREATE_INSTRUMENT: self._create_instrument,
            Verb.GET_INSTRUMENT: self._get_instrument,
            Verb.UPDATE_INSTRUMENT: self._update_instrument,
            Verb.DELETE_INSTRUMENT: self._delete_instrument,
            Verb.CREATE_IDENTIFIER: self._create_identifier,
            Verb.GET_IDENTIFIER: self._get_identifier,
            Verb.UPDATE_IDENTIFIER: self._update_identifier,
            Verb.DELETE_IDENTIFIER: self._delete_identifier,
            Verb.LIST_IDENTIFIER_INSTRUMENTS: self._list_identifier_instruments,
            Verb.ENROLL_IDENTIFIER: self._enroll,
            Verb.CREATE_NETWORK_TOKEN: self._create_network_token,
            Verb.GET_NETWORK_TOKEN: lambda call: json_reply(200, self._show_network_token(self._network_token(call))),
            Verb.DELETE_NETWORK_TOKEN: self._delete_network_token,
            Verb.SIMULATE_ISSUER_EVENT: self._simulate_issuer_event,
        }

    # What payments use.

    def read_card(self, merchant_id: str, body: Body) -> Card:
        """Return the card of a request, or the one its token stands for; raises a Refusal."""
        instrument = get(body, "paymentInformation")
        if not isinstance(instrument, dict) or ("card" in instrument and get(body, "paymentInformation.card.number")):
            return read_payment_card(body)
        for name in ("paymentInstrument", "instrumentIdentifier", "customer"):
            if name in instrument and get(body, f"paymentInformation.{name}.id") is not None:
                return self._card_of(merchant_id, body, name)
        return read_payment_card(body)

    def _card_of(self, merchant_id: str, body: Body, name: str) -> Card:
        path = f"paymentInformation.{name}.id"
        token_id = optional(body, path)
        expiry: tuple[int, int] | None = None
        identifier: InstrumentIdentifier | None = None
        if name == "instrumentIdentifier":
            identifier = self._store.resource(InstrumentIdentifier, merchant_id, token_id)
        else:
            instrument = self._store.resource(PaymentInstrument, merchant_id, token_id)
            if name == "customer":
                instrument = self._default_instrument(merchant_id, token_id)
            if instrument is not None:
                expiry = instrument.expiry
                identifier = self._store.resource(
                    InstrumentIdentifier, merchant_id, instrument.instrument_identifier_id
                )
        if identifier is None:
            raise Refusal("INVALID_DATA", field=path)
        month, year = (
            optional(body, "paymentInformation.card.expirationMonth"),
            optional(body, "paymentInformation.card.expirationYear"),
        )
        if month and year:
            expiry = _expiry(month, year, "paymentInformation.card")
        expiry = expiry or identifier.expiry
        if expiry is None:
            raise Refusal("MISSING_FIELD", field="paymentInformation.card.expirationMonth")
        return Card(identifier.card, expiry, identifier.behaviour, identifier.scenario)

    def _default_instrument(self, merchant_id: str, customer_id: str) -> PaymentInstrument | None:
        of_customer = self._instruments_of_customer(merchant_id, customer_id)
        return next((one for one in of_customer if one.default), None)

    def prefix_of(self, merchant_id: str, body: Body) -> str:
        """Return the first digits behind the token that a request names, or an empty text."""
        instrument = get(body, "paymentInformation")
        if not isinstance(instrument, dict):
            return ""
        for name in ("paymentInstrument", "instrumentIdentifier", "customer"):
            if isinstance(get(body, f"paymentInformation.{name}.id"), str):
                token_id = optional(body, f"paymentInformation.{name}.id")
                found = self._store.resource(InstrumentIdentifier, merchant_id, token_id)
                kept = self._store.resource(PaymentInstrument, merchant_id, token_id) or (
                    self._default_instrument(merchant_id, token_id)
                )
                if kept is not None:
                    found = self._store.resource(InstrumentIdentifier, merchant_id, kept.instrument_identifier_id)
                if found is not None:
                    return found.card.prefix
        return ""

    def create_for_payment(self, merchant_id: str, body: Body, card: Card) -> dict[str, Any]:
        """Make the tokens a payment asks for (TOKEN_CREATE), and return their ids as the reply shows them."""
        asked = texts(body, "processingInformation.actionTokenTypes") or [
            "customer",
            "paymentInstrument",
            "instrumentIdentifier",
        ]
        if not _TOKEN_TYPES.issuperset(asked):
            raise Refusal("INVALID_DATA", field="processingInformation.actionTokenTypes")
        if not card.number:
            return {}
        order = get(body, "orderInformation")
        order = order if isinstance(order, dict) else {}
        for name in ("billTo", "shipTo"):
            refuse_card_numbers(order.get(name), f"orderInformation.{name}")
        identifier, is_new = self._identifier_of(merchant_id, card.number, card.masked, None)
        made: dict[str, Any] = {
            "instrumentidentifierNew": is_new,
            "instrumentIdentifier": {"id": identifier.id, "state": "ACTIVE"},
        }
        customer_id = optional(body, "paymentInformation.customer.id")
        if customer_id and self._store.resource(Customer, merchant_id, customer_id) is None:
            raise Refusal("INVALID_DATA", field="paymentInformation.customer.id")
        if "customer" in asked and not customer_id:
            customer = Customer(
                id=self._ids.token(), merchant_id=merchant_id, details=_some(body, ("buyerInformation",))
            )
            refuse_card_numbers(customer.details)
            self._keep(customer)
            customer_id = customer.id
            made["customer"] = {"id": customer_id}
        if "paymentInstrument" in asked:
            instrument = PaymentInstrument(
                id=self._ids.token(),
                merchant_id=merchant_id,
                instrument_identifier_id=identifier.id,
                customer_id=customer_id,
                type=card.type,
                expiry=card.expiry,
                default=bool(customer_id) and not self._instruments_of_customer(merchant_id, customer_id),
                details=_some(order, ("billTo",)),
            )
            self._keep(instrument)
            made["paymentInstrument"] = {"id": instrument.id}
        if "shippingAddress" in asked and customer_id and isinstance(order.get("shipTo"), dict):
            address = ShippingAddress(
                id=self._ids.token(),
                merchant_id=merchant_id,
                customer_id=customer_id,
                details={"shipTo": order["shipTo"]},
            )
            self._keep(address)
            made["shippingAddress"] = {"id": address.id}
        return made

    # Finding: a token of another merchant is not there; one that was deleted is gone.

    def _found(self, kind: type[Any], call: Call, token_id: str, name: str) -> Any:
        found = self._store.resource(kind, call.merchant_id, token_id)
        if found is None:
            gone = self._store.was_removed(token_id)
            raise Refusal(
                "INVALID_DATA",
                field=name,
                status=410 if gone else 404,
                message="Token not available." if gone else "Token not found.",
            )
        return found

    def _customer(self, call: Call) -> Customer:
        customer: Customer = self._found(Customer, call, call.route.id, "customerId")
        return customer

    def _instrument(self, call: Call) -> PaymentInstrument:
        of_customer = call.route.second_id != ""
        token_id = call.route.second_id if of_customer else call.route.id
        instrument: PaymentInstrument = self._found(PaymentInstrument, call, token_id, "paymentInstrumentId")
        if of_customer and instrument.customer_id != self._customer(call).id:
            raise Refusal("INVALID_DATA", field="paymentInstrumentId", status=404, message="Token not found.")
        return instrument

    def _identifier(self, call: Call) -> InstrumentIdentifier:
        identifier: InstrumentIdentifier = self._found(
            InstrumentIdentifier, call, call.route.id, "instrumentIdentifierId"
        )
        return identifier

    def _address(self, call: Call) -> ShippingAddress:
        address: ShippingAddress = self._found(ShippingAddress, call, call.route.second_id, "shippingAddressId")
        if address.customer_id != self._customer(call).id:
            raise Refusal("INVALID_DATA", field="shippingAddressId", status=404, message="Token not found.")
        return address

    def _network_token(self, call: Call) -> NetworkToken:
        token: NetworkToken = self._found(NetworkToken, call, call.route.id, "tokenizedCardId")
        return token

    def _instruments_of_customer(self, merchant_id: str, customer_id: str) -> list[PaymentInstrument]:
        instruments = self._store.resources(PaymentInstrument, merchant_id)
        return [one for one in instruments if one.customer_id == customer_id != ""]

    def _delete(self, kept: Kept) -> Reply:
        self._keep(Removed(str(kept.__struct_config__.tag), kept.id))
        return Reply(204, b"")

    # Customers.

    def _create_customer(self, call: Call) -> Reply:
        details = _some(call.body, _KEPT_OF_CUSTOMER)
        refuse_card_numbers(details)
        customer = Customer(id=self._ids.token(), merchant_id=call.merchant_id, details=details)
        self._keep(customer)
        return json_reply(201, self._show_customer(customer))

    def _update_customer(self, call: Call) -> Reply:
        customer = self._customer(call)
        details = _some(call.body, _KEPT_OF_CUSTOMER)
        refuse_card_numbers(details)
        default_id = optional(call.body, "defaultPaymentInstrument.id")
        if default_id:
            instrument = self._store.resource(PaymentInstrument, call.merchant_id, default_id)
            if instrument is None or instrument.customer_id != customer.id:
                raise Refusal("INVALID_DATA", field="defaultPaymentInstrument.id")
            self._make_default(instrument)
        customer = msgspec.structs.replace(customer, details=customer.details | details)
        self._keep(customer)
        return json_reply(200, self._show_customer(customer))

    def _delete_customer(self, call: Call) -> Reply:
        customer = self._customer(call)
        for instrument in self._instruments_of_customer(call.merchant_id, customer.id):
            self._delete(instrument)
        for address in self._store.resources(ShippingAddress, call.merchant_id):
            if address.customer_id == customer.id:
                self._delete(address)
        return self._delete(customer)

    def _show_customer(self, customer: Customer) -> dict[str, Any]:
        path = f"{_CUSTOMERS}/{customer.id}"
        shown: dict[str, Any] = {
            "_links": {
                "self": {"href": path},
                "paymentInstruments": {"href": f"{path}/payment-instruments"},
                "shippingAddress": {"href": f"{path}/shipping-addresses"},
            },
            "id": customer.id,
            **customer.details,
            "metadata": {"creator": customer.merchant_id},
        }
        default = self._default_instrument(customer.merchant_id, customer.id)
        if default is not None:
            shown["defaultPaymentInstrument"] = {"id": default.id}
        addresses = self._store.resources(ShippingAddress, customer.merchant_id)
        address = next((one for one in addresses if one.customer_id == customer.id and one.default), None)
        if address is not None:
            shown["defaultShippingAddress"] = {"id": address.id}
        return shown

    # Payment instruments, of a customer or alone.

    def _create_instrument(self, call: Call) -> Reply:
        customer_id = self._customer(call).id if call.route.verb is Verb.CREATE_CUSTOMER_INSTRUMENT else ""
        identifier = self._identifier_named(call)
        first = customer_id != "" and not self._instruments_of_customer(call.merchant_id, customer_id)
        instrument = self._filled(
            call.body,
            PaymentInstrument(
                id=self._ids.token(),
                merchant_id=call.merchant_id,
                instrument_identifier_id=identifier.id,
                customer_id=customer_id,
                type=identifier.card.type,
                default=first,
            ),
        )
        self._keep(instrument)
        if instrument.default and not first:
            self._make_default(instrument)
        return json_reply(201, self._show_instrument(instrument))

    def _identifier_named(self, call: Call) -> InstrumentIdentifier:
        """Return the instrument identifier an instrument is of: by its id, or made of the card number that is embedded."""
        token_id = optional(call.body, "instrumentIdentifier.id")
        if token_id:
            found = self._store.resource(InstrumentIdentifier, call.merchant_id, token_id)
            if found is None:
                raise Refusal("INVALID_DATA", field="instrumentIdentifier.id")
            return found
        path = "_embedded.instrumentIdentifier.card.number"
        if get(call.body, path) is None:
            raise Refusal("MISSING_FIELD", field="instrumentIdentifier.id")
        number = read_number(call.body, path)
        return self._identifier_of(call.merchant_id, number, self._masked(number), None)[0]

    def _filled(self, body: Body, instrument: PaymentInstrument) -> PaymentInstrument:
        details = _some(body, _KEPT_OF_INSTRUMENT)
        refuse_card_numbers(details)
        month, year = optional(body, "card.expirationMonth"), optional(body, "card.expirationYear")
        expiry = _expiry(month, year, "card") if month or year else instrument.expiry
        card_type = optional(body, "card.type").lower()
        card_type = _CARD_TYPES.get(card_type, card_type)
        if card_type and card_type not in _CARD_NAMES:
            raise Refusal("INVALID_DATA", field="card.type")
        default = get(body, "default")
        if default is not None and not isinstance(default, bool):
            raise Refusal("INVALID_DATA", field="default")
        return msgspec.structs.replace(
            instrument,
            expiry=expiry,
            type=card_type or instrument.type,
            default=bool(instrument.customer_id) and (default is True or instrument.default),
            details=instrument.details | details,
        )

    def _make_default(self, instrument: PaymentInstrument) -> None:
        for other in self._instruments_of_customer(instrument.merchant_id, instrument.customer_id):
            if other.default is not (other.id == instrument.id):
                self._keep(msgspec.structs.replace(other, default=other.id == instrument.id))

    def _get_instrument(self, call: Call) -> Reply:
        return json_reply(200, self._show_instrument(self._instrument(call)))

    def _update_instrument(self, call: Call) -> Reply:
        before = self._instrument(call)
        instrument = self._filled(call.body, before)
        self._keep(instrument)
        if instrument.default and not before.default:
            self._make_default(instrument)
        return json_reply(200, self._show_instrument(instrument))

    def _delete_instrument(self, call: Call) -> Reply:
        instrument = self._instrument(call)
        others = self._instruments_of_customer(call.merchant_id, instrument.customer_id)
        if instrument.default and len(others) > 1:
            raise Refusal(
                "INVALID_DATA", field="paymentInstrumentId", status=409, message="The default cannot be deleted."
            )
        return self._delete(instrument)

    def _show_instrument(self, instrument: PaymentInstrument) -> dict[str, Any]:
        links: dict[str, Any] = {"self": {"href": f"{_INSTRUMENTS}/{instrument.id}"}}
        if instrument.customer_id:
            customer = f"{_CUSTOMERS}/{instrument.customer_id}"
            links = {
                "self": {"href": f"{customer}/payment-instruments/{instrument.id}"},
                "customer": {"href": customer},
            }
        shown: dict[str, Any] = {
            "_links": links,
            "id": instrument.id,
            "object": "paymentInstrument",
            "state": "ACTIVE",
            "instrumentIdentifier": {"id": instrument.instrument_identifier_id},
            **instrument.details,
            "metadata": {"creator": instrument.merchant_id},
        }
        if instrument.customer_id:
            shown["default"] = instrument.default
        card = {"type": _CARD_NAMES.get(instrument.type, "visa")}
        if instrument.expiry is not None:
            card |= _expiry_texts(instrument.expiry)
        shown["card"] = card
        identifier = self._store.resource(
            InstrumentIdentifier, instrument.merchant_id, instrument.instrument_identifier_id
        )
        if identifier is not None:
            shown["_embedded"] = {"instrumentIdentifier": self._show_identifier(identifier, short=True)}
        return shown

    def _list_customer_instruments(self, call: Call) -> Reply:
        customer = self._customer(call)
        found = self._instruments_of_customer(call.merchant_id, customer.id)
        shown = [self._show_instrument(one) for one in found]
        return _listed(call, shown, "paymentInstruments", f"{_CUSTOMERS}/{customer.id}/payment-instruments")

    # Addresses.

    def _create_address(self, call: Call) -> Reply:
        customer = self._customer(call)
        details = {"shipTo": require_object(call.body, "shipTo")}
        refuse_card_numbers(details)
        addresses = self._store.resources(ShippingAddress, call.merchant_id)
        address = ShippingAddress(
            id=self._ids.token(),
            merchant_id=call.merchant_id,
            customer_id=customer.id,
            default=not any(one.customer_id == customer.id for one in addresses),
            details=details,
        )
        self._keep(address)
        return json_reply(201, _show_address(address))

    def _update_address(self, call: Call) -> Reply:
        address = self._address(call)
        details = _some(call.body, ("shipTo",))
        refuse_card_numbers(details)
        ship_to = address.details.get("shipTo", {}) | details.get("shipTo", {})
        address = msgspec.structs.replace(address, details={"shipTo": ship_to})
        self._keep(address)
        return json_reply(200, _show_address(address))

    def _list_addresses(self, call: Call) -> Reply:
        customer = self._customer(call)
        addresses = self._store.resources(ShippingAddress, call.merchant_id)
        shown = [_show_address(one) for one in addresses if one.customer_id == customer.id]
        return _listed(call, shown, "shippingAddresses", f"{_CUSTOMERS}/{customer.id}/shipping-addresses")

    # Instrument identifiers: one for each card number of a merchant.

    def _masked(self, number: str) -> MaskedCard:
        brand = brand_of(number)
        return MaskedCard(number[:6], number[-4:], brand[0] if brand is not None else "001")

    def _identifier_of(
        self, merchant_id: str, number: str, card: MaskedCard, expiry: tuple[int, int] | None
    ) -> tuple[InstrumentIdentifier, bool]:
        own = fingerprint(self._key, f"{merchant_id}:{number}")
        for known in self._store.resources(InstrumentIdentifier, merchant_id):
            if known.fingerprint == own:
                return known, False
        identifier = InstrumentIdentifier(
            id=self._ids.token(),
            merchant_id=merchant_id,
            card=card,
            length=len(number),
            fingerprint=own,
            behaviour=behaviour_of(number),
            scenario=scenario_of(number),
            expiry=expiry,
        )
        self._keep(identifier)
        return identifier, True

    def _create_identifier(self, call: Call) -> Reply:
        require_object(call.body, "card")
        number = read_number(call.body, "card.number")
        expiry = self._expiry_of(call.body)
        identifier, is_new = self._identifier_of(call.merchant_id, number, self._masked(number), expiry)
        return json_reply(201 if is_new else 200, self._show_identifier(identifier, call=call))

    def _expiry_of(self, body: Body) -> tuple[int, int] | None:
        month, year = optional(body, "card.expirationMonth"), optional(body, "card.expirationYear")
        return _expiry(month, year, "card") if month or year else None

    def _get_identifier(self, call: Call) -> Reply:
        return json_reply(200, self._show_identifier(self._identifier(call), call=call))

    def _update_identifier(self, call: Call) -> Reply:
        identifier = self._identifier(call)
        details = _some(call.body, ("processingInformation", "billTo"))
        refuse_card_numbers(details)
        expiry = self._expiry_of(call.body) or identifier.expiry
        identifier = msgspec.structs.replace(identifier, details=identifier.details | details, expiry=expiry)
        self._keep(identifier)
        return json_reply(200, self._show_identifier(identifier, call=call))

    def _delete_identifier(self, call: Call) -> Reply:
        identifier = self._identifier(call)
        if self._instruments_of_identifier(identifier):
            raise Refusal(
                "INVALID_DATA",
                field="instrumentIdentifierId",
                status=409,
                message="The instrument identifier is in use by a payment instrument.",
            )
        return self._delete(identifier)

    def _instruments_of_identifier(self, identifier: InstrumentIdentifier) -> list[PaymentInstrument]:
        instruments = self._store.resources(PaymentInstrument, identifier.merchant_id)
        return [one for one in instruments if one.instrument_identifier_id == identifier.id]

    def _list_identifier_instruments(self, call: Call) -> Reply:
        identifier = self._identifier(call)
        shown = [self._show_instrument(one) for one in self._instruments_of_identifier(identifier)]
        return _listed(call, shown, "paymentInstruments", f"{_IDENTIFIERS}/{identifier.id}/paymentinstruments")

    def _show_identifier(
        self, identifier: InstrumentIdentifier, *, short: bool = False, call: Call | None = None
    ) -> dict[str, Any]:
        path = f"{_IDENTIFIERS}/{identifier.id}"
        hidden = "X" * (identifier.length - 10)
        card = {"number": f"{identifier.card.prefix}{hidden}{identifier.card.suffix}"}
        shown: dict[str, Any] = {
            "_links": {"self": {"href": path}, "paymentInstruments": {"href": f"{path}/paymentinstruments"}},
            "id": identifier.id,
            "object": "instrumentIdentifier",
            "state": "ACTIVE",
            "card": card,
            "metadata": {"creator": identifier.merchant_id},
        }
        if short:
            return shown
        if identifier.expiry is not None:
            card |= _expiry_texts(identifier.expiry)
        brand = brand_of(identifier.card.prefix)
        if call is not None and brand is not None and call.query.get("retrieveBinDetails", "").lower() == "true":
            shown["_embedded"] = {"binLookup": bin_details(identifier.card.prefix, brand)}
        return shown | identifier.details

    # Network tokens.

    def _enroll(self, call: Call) -> Reply:
        identifier = self._identifier(call)
        expiry = self._expiry_of(call.body) or identifier.expiry
        if expiry is None:
            raise Refusal("MISSING_FIELD", field="card.expirationMonth")
        token = NetworkToken(
            id=self._ids.token(),
            merchant_id=call.merchant_id,
            card=identifier.card,
            expiry=expiry,
            instrument_identifier_id=identifier.id,
        )
        self._keep(token)
        shown = self._show_identifier(identifier)
        return json_reply(200, shown | {"tokenizedCard": self._token_fields(token)})

    def _create_network_token(self, call: Call) -> Reply:
        require_object(call.body, "card")
        number = read_number(call.body, "card.number")
        expiry = self._expiry_of(call.body)
        if expiry is None:
            raise Refusal("MISSING_FIELD", field="card.expirationMonth")
        token = NetworkToken(
            id=self._ids.token(), merchant_id=call.merchant_id, card=self._masked(number), expiry=expiry
        )
        self._keep(token)
        return json_reply(200, self._show_network_token(token))

    def _delete_network_token(self, call: Call) -> Reply:
        return self._delete(self._network_token(call))

    def _simulate_issuer_event(self, call: Call) -> Reply:
        token = self._network_token(call)
        state = optional(call.body, "state")
        if state and state not in _STATES:
            raise Refusal("INVALID_DATA", field="state")
        expiry = self._expiry_of(call.body) or token.expiry
        token = msgspec.structs.replace(token, state=state or token.state, expiry=expiry)
        self._keep(token)
        self._publish(call.merchant_id, "tms.networktoken.updated", {"id": token.id, "state": token.state})
        return Reply(204, b"")

    def _token_fields(self, token: NetworkToken) -> dict[str, Any]:
        name = _CARD_NAMES.get(token.card.type, "visa").replace(" ", "")
        return {
            "id": token.id,
            "object": "tokenizedCard",
            "source": "ONFILE",
            "state": token.state,
            "enrollmentId": fingerprint(self._key, f"enrollment:{token.id}"),
            "tokenReferenceId": fingerprint(self._key, f"reference:{token.id}"),
            "type": name if name in {"visa", "mastercard", "americanexpress"} else "visa",
            **_expiry_texts(token.expiry),
            "card": {"suffix": token.card.suffix, "type": token.card.type, **_expiry_texts(token.expiry)},
        }

    def _show_network_token(self, token: NetworkToken) -> dict[str, Any]:
        path = f"{_NETWORK_TOKENS}/{token.id}"
        return {"_links": {"self": {"href": path}}, "tokenizedCard": self._token_fields(token)}

    # Tokenize: all of it in one request.

    def _tokenize(self, call: Call) -> Reply:
        actions = texts(call.body, "processingInformation.actionList")
        if actions != ["TOKEN_CREATE"]:
            raise Refusal("INVALID_DATA", field="processingInformation.actionList")
        asked = texts(call.body, "processingInformation.actionTokenTypes")
        if not asked or not (_TOKEN_TYPES | {"tokenizedCard"}).issuperset(asked):
            raise Refusal("INVALID_DATA", field="processingInformation.actionTokenTypes")
        information = require_object(call.body, "tokenInformation")
        responses: list[dict[str, Any]] = []
        identifier: InstrumentIdentifier | None = None
        if get(information, "instrumentIdentifier.card.number") is not None:
            number = read_number(call.body, "tokenInformation.instrumentIdentifier.card.number")
            identifier, is_new = self._identifier_of(call.merchant_id, number, self._masked(number), None)
            responses.append(_made("instrumentIdentifier", identifier.id, 201 if is_new else 200))
        customer_id = optional(information, "customer.id")
        if customer_id and self._store.resource(Customer, call.merchant_id, customer_id) is None:
            raise Refusal("INVALID_DATA", field="tokenInformation.customer.id")
        if "customer" in asked and not customer_id:
            details = _some(information.get("customer"), _KEPT_OF_CUSTOMER)
            refuse_card_numbers(details, "tokenInformation.customer")
            customer = Customer(id=self._ids.token(), merchant_id=call.merchant_id, details=details)
            self._keep(customer)
            customer_id = customer.id
            responses.append(_made("customer", customer.id, 201))
        if "shippingAddress" in asked and customer_id:
            details = _some(information.get("shippingAddress"), ("shipTo",))
            refuse_card_numbers(details, "tokenInformation.shippingAddress")
            address = ShippingAddress(
                id=self._ids.token(), merchant_id=call.merchant_id, customer_id=customer_id, details=details
            )
            self._keep(address)
            responses.append(_made("shippingAddress", address.id, 201))
        if "paymentInstrument" in asked:
            responses.append(self._tokenized_instrument(call, information, identifier, customer_id))
        return json_reply(200, {"responses": responses})

    def _tokenized_instrument(
        self, call: Call, information: Body, identifier: InstrumentIdentifier | None, customer_id: str
    ) -> dict[str, Any]:
        if identifier is None:
            return {
                "resource": "paymentInstrument",
                "httpStatus": 400,
                "errors": [{"type": "missingFields", "message": "The instrument identifier is missing."}],
            }
        body = information.get("paymentInstrument")
        instrument = self._filled(
            body if isinstance(body, dict) else {},
            PaymentInstrument(
                id=self._ids.token(),
                merchant_id=call.merchant_id,
                instrument_identifier_id=identifier.id,
                customer_id=customer_id,
                type=identifier.card.type,
                default=customer_id != "" and not self._instruments_of_customer(call.merchant_id, customer_id),
            ),
        )
        self._keep(instrument)
        return _made("paymentInstrument", instrument.id, 201)


def _made(resource: str, token_id: str, status: int) -> dict[str, Any]:
    return {"resource": resource, "httpStatus": status, "id": token_id}


def _some(body: object, names: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(body, dict):
        return {}
    return {name: body[name] for name in names if isinstance(body.get(name), (dict, list))}


def _expiry(month: str, year: str, path: str) -> tuple[int, int]:
    if not (month.isascii() and month.isdecimal() and len(month) == 2 and 1 <= int(month) <= 12):
        raise Refusal("INVALID_DATA", field=f"{path}.expirationMonth")
    if not (year.isascii() and year.isdecimal() and len(year) == 4 and year.startswith("20")):
        raise Refusal("INVALID_DATA", field=f"{path}.expirationYear")
    return int(year), int(month)


def _expiry_texts(expiry: tuple[int, int]) -> dict[str, str]:
    return {"expirationMonth": f"{expiry[1]:02d}", "expirationYear": str(expiry[0])}


def _show_address(address: ShippingAddress) -> dict[str, Any]:
    customer = f"{_CUSTOMERS}/{address.customer_id}"
    return {
        "_links": {"self": {"href": f"{customer}/shipping-addresses/{address.id}"}, "customer": {"href": customer}},
        "id": address.id,
        "default": address.default,
        **address.details,
        "metadata": {"creator": address.merchant_id},
    }


def _listed(call: Call, shown: list[dict[str, Any]], name: str, path: str) -> Reply:
    offset, limit = page_of(call.query, 20, 100)
    page = shown[offset : offset + limit]
    links = {
        "self": {"href": f"{path}?offset={offset}&limit={limit}"},
        "first": {"href": f"{path}?offset=0&limit={limit}"},
    }
    if offset + limit < len(shown):
        links["next"] = {"href": f"{path}?offset={offset + limit}&limit={limit}"}
    body: dict[str, Any] = {
        "_links": links,
        "offset": offset,
        "limit": limit,
        "count": len(page),
        "total": len(shown),
        "_embedded": {name: page},
    }
    return json_reply(200, body)
