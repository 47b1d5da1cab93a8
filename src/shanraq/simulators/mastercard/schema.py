"""The fields of requests: which there are, and what form each has. A field that is not here is refused by name.

One line a field: its dotted name, its form, and what the form needs (the longest text, the bounds of a number, the choices).
An object that ends in `*` takes other fields too: their names are not documented here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from shanraq.simulators.mastercard.fields import Body, shown_name
from shanraq.simulators.mastercard.refusal import Refusal

_FIELDS: Final = """
apiOperation text 40
correlationId text 100
3DSecureId text 40
gatewayEntryPoint text 40
locale text 10
merchant text 40
partnerSolutionId text 40
paymentType text 40
referenceOrderId text 40
userId text 256
checkoutMode text 40
requestAction choice RISK_ASSESSMENT|INFORMATION_ONLY
verificationStrategy choice ACQUIRER|BASIC|NONE
3DSecure *
accountFunding *
additionalNetworkData *
agreement.amountVariability text 40
agreement.customData text 2048
agreement.expiryDate text 10
agreement.id text 100
agreement.installment *
agreement.maximumAmountPerPayment amount
agreement.minimumAmountPerPayment amount
agreement.minimumDaysBetweenPayments whole 0-999999
agreement.numberOfPayments whole 1-999
agreement.paymentFrequency text 40
agreement.recurring *
agreement.retailer *
agreement.startDate text 10
agreement.type text 40
airline *
browserPayment *
bus *
cardPresent *
carRental *
constraints *
cruise *
currencyConversion *
debtRepayment *
encryptedData *
hotel *
initiator *
interaction *
interaction.operation choice AUTHORIZE|PURCHASE|VERIFY|NONE
line *
linkedTransactions list
lineOfBusiness text 100
disbursementType text 40
paymentPlan *
posTerminal *
responseControls *
risk.custom *
risk.paymentReasonCode text 40
risk.bypassMerchantRiskRules choice ALL|NONE
schemeTransaction *
splitPayment *
subgatewayMerchant *
transactionSource text 40
travel *
wallet *
action *
action.bypassMerchantRiskRules choice ALL|NONE
acquirer.cardType text 40
acquirer.currency letters 3-3
acquirer.id text 40
billing.contact *
billing.address.city text 100
billing.address.company text 100
billing.address.country letters 3-3
billing.address.countrySubdivision text 20
billing.address.postcodeZip text 10
billing.address.stateProvince text 20
billing.address.stateProvinceCode text 10
billing.address.street text 100
billing.address.street2 text 100
shipping.contact *
shipping.method text 40
shipping.origin *
shipping.address.city text 100
shipping.address.company text 100
shipping.address.country letters 3-3
shipping.address.countrySubdivision text 20
shipping.address.postcodeZip text 10
shipping.address.sameAsBilling text 40
shipping.address.source text 40
shipping.address.stateProvince text 20
shipping.address.stateProvinceCode text 10
shipping.address.street text 100
shipping.address.street2 text 100
customer.account *
customer.dateOfBirth text 10
customer.middleName text 50
customer.email text 256
customer.firstName text 50
customer.lastName text 50
customer.mobilePhone text 20
customer.nationalId text 40
customer.phone text 20
customer.taxRegistrationId text 30
device.ani text 10
device.aniCallType text 2
device.browser text 1024
device.fingerprint text 4000
device.hostname text 255
device.ipAddress address
device.mobilePhoneModel text 255
device.browserDetails.3DSecureChallengeWindowSize text 40
device.browserDetails.acceptHeaders text 2048
device.browserDetails.colorDepth whole 1-48
device.browserDetails.javaEnabled truth
device.browserDetails.javaScriptEnabled truth
device.browserDetails.language text 8
device.browserDetails.screenHeight whole 0-999999
device.browserDetails.screenWidth whole 0-999999
device.browserDetails.timeZone whole -840-840
order.acceptPartialAmount truth
order.amount amount
order.cashbackAmount amount
order.certainty choice FINAL|ESTIMATED
order.currency letters 3-3
order.custom custom
order.customerNote text 250
order.customerOrderDate text 10
order.customerReference text 25
order.dateOfBirth text 10
order.description text 127
order.discount *
order.dutyAmount amount
order.expectedSettlementAmount amount
order.gratuityAmount amount
order.handlingAmount amount
order.id text 40
order.invoiceDate text 10
order.invoiceNumber text 25
order.item list
order.itemAmount amount
order.lineItems list
order.localTaxRate amount
order.marketplace *
order.merchantCategoryCode digits 4-4
order.netAmount amount
order.notificationUrl url
order.owningEntity text 40
order.productSKU text 100
order.purchaseType text 40
order.reference text 200
order.requestorName text 100
order.reversal text 40
order.shippingAndHandlingAmount amount
order.shippingAndHandlingTaxAmount amount
order.statementDescriptor *
order.subMerchant *
order.supply *
order.surchargeAmount amount
order.surchargeRules *
order.tax list
order.taxAmount amount
order.taxRegistrationId text 30
order.taxStatus text 40
order.transactionFiltering *
order.valueTransfer text 40
order.walletIndicator text 3
order.walletProvider text 40
transaction.accountFunding *
transaction.acquirer *
transaction.amount amount
transaction.currency letters 3-3
transaction.digitalReceiptId text 40
transaction.discountAmount amount
transaction.externalTokenProvider text 40
transaction.frequency choice SINGLE|RECURRING|INSTALLMENT|INSTALMENT|OTHER|PAYER_AUTHENTICATION
transaction.funding *
transaction.id text 40
transaction.item list
transaction.itemAmount amount
transaction.merchantNote text 250
transaction.reference text 200
transaction.serviceLocation *
transaction.shippingAndHandlingAmount amount
transaction.source choice CALL_CENTRE|CARD_PRESENT|INTERNET|MAIL_ORDER|MERCHANT|MOTO|PAYER_PRESENT|SPECIALISED|TELEPHONE_ORDER|VOICE_RESPONSE
transaction.subscription *
transaction.targetTransactionId text 40
transaction.taxAmount amount
transaction.taxStatus text 40
transaction.transitTransactionType text 40
session.authenticationLimit whole 0-25
session.id text 35
session.version text 40
token.status choice VALID|INVALID
sourceOfFunds.provider text 40
sourceOfFunds.token text 40
sourceOfFunds.tokenRequestorID text 11
sourceOfFunds.type choice CARD|SCHEME_TOKEN
sourceOfFunds.provided.card.accountType text 40
sourceOfFunds.provided.card.brand text 40
sourceOfFunds.provided.card.cardType text 40
sourceOfFunds.provided.card.devicePayment *
sourceOfFunds.provided.card.emvRequest text 2000
sourceOfFunds.provided.card.expiry.month number 1-12
sourceOfFunds.provided.card.expiry.year year
sourceOfFunds.provided.card.fundingMethod text 40
sourceOfFunds.provided.card.issueNumber text 2
sourceOfFunds.provided.card.mobileWallet *
sourceOfFunds.provided.card.nameOnCard text 256
sourceOfFunds.provided.card.number card
sourceOfFunds.provided.card.p2pe *
sourceOfFunds.provided.card.paymentAccountReference text 40
sourceOfFunds.provided.card.pinBlock *
sourceOfFunds.provided.card.prefix digits 6-10
sourceOfFunds.provided.card.scheme text 40
sourceOfFunds.provided.card.securityCode digits 3-4
sourceOfFunds.provided.card.sequenceNumber digits 1-3
sourceOfFunds.provided.card.storedOnFile choice NOT_STORED|STORED|TO_BE_STORED
sourceOfFunds.provided.card.tags text 2000
sourceOfFunds.provided.card.trackOne text 79
sourceOfFunds.provided.card.trackTwo text 40
authentication.3ds.acsEci digits 1-2
authentication.3ds.authenticationToken base64 28
authentication.3ds.transactionId text 50
authentication.3ds1.paResStatus text 1
authentication.3ds1.veResEnrolled text 1
authentication.3ds2.3dsServerTransactionId text 50
authentication.3ds2.acsReference text 50
authentication.3ds2.acsTransactionId text 50
authentication.3ds2.challenge *
authentication.3ds2.custom *
authentication.3ds2.directoryServerId text 50
authentication.3ds2.methodCompleted truth
authentication.3ds2.methodSupported text 40
authentication.3ds2.requestorId text 50
authentication.3ds2.requestorName text 50
authentication.3ds2.sdk *
authentication.3ds2.dsTransactionId text 50
authentication.3ds2.protocolVersion text 20
authentication.3ds2.statusReasonCode text 2
authentication.3ds2.transactionStatus choice Y|A|N|U|R|C
authentication.acceptVersions versions
authentication.amount amount
authentication.authenticationStatus text 40
authentication.challengePreference text 40
authentication.channel choice PAYER_BROWSER|PAYER_APP|MERCHANT_REQUESTED
authentication.custom *
authentication.exemption *
authentication.goodsDescription text 125
authentication.merchantName text 40
authentication.method text 40
authentication.payerInteraction choice REQUIRED|NOT_REQUIRED|POSSIBLE
authentication.psd2 *
authentication.purpose choice PAYMENT_TRANSACTION|RECURRING_TRANSACTION|INSTALLMENT_TRANSACTION|INSTALMENT_TRANSACTION|ADD_CARD|MAINTAIN_CARD|CARDHOLDER_VERIFICATION
authentication.redirect *
authentication.redirectResponseUrl url
authentication.time text 30
authentication.transactionId text 40
authentication.version text 10
"""  # noqa: E501 - one line a field

_Check = Callable[[Any], str]
"""Returns what is wrong with a value, empty when nothing is."""


@dataclass(slots=True)
class _Node:
    """A field, or with `fields` an object; an open one takes fields that are not listed."""

    check: _Check | None = None
    fields: dict[str, _Node] = field(default_factory=dict)
    open: bool = False


_AMOUNT: Final = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,12})?", re.ASCII)
_AMOUNT_LIMIT: Final = 14
_URL: Final = re.compile(r"https?://[^\s/]+[!-~]*", re.ASCII | re.IGNORECASE)
_URL_LIMIT: Final = 2048
_VERSIONS: Final = frozenset({"3DS1", "3DS2"})


def amount_text(value: Any) -> str:
    """Return an amount (JSON number or text) as digits with at most one point, 14 characters; empty if it is none."""
    if isinstance(value, Decimal):
        value = format(value, "f") if value.is_finite() and abs(value.adjusted()) < 30 else ""
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**_AMOUNT_LIMIT else ""
    good = isinstance(value, str) and len(value) <= _AMOUNT_LIMIT and _AMOUNT.fullmatch(value)
    return value if good else ""


def _text(limit: str) -> _Check:
    longest = int(limit)
    wrong = f"The value must be a text of 1 to {longest} characters."
    return lambda value: "" if isinstance(value, str) and 1 <= len(value) <= longest else wrong


def _choice(names: str) -> _Check:
    choices = frozenset(names.split("|"))
    wrong = f"The value must be one of {', '.join(sorted(choices))}."
    return lambda value: "" if isinstance(value, str) and value in choices else wrong


def _letters(_: str) -> _Check:
    form, wrong = re.compile(r"[A-Z]{3}", re.ASCII), "The value must be three capital letters."
    return lambda value: "" if isinstance(value, str) and form.fullmatch(value) else wrong


def _digits(bounds: str) -> _Check:
    lowest, highest = bounds.split("-")
    form, wrong = (
        re.compile(f"[0-9]{{{lowest},{highest}}}", re.ASCII),
        f"The value must be {lowest} to {highest} digits.",
    )
    return lambda value: "" if isinstance(value, str) and form.fullmatch(value) else wrong


def _whole(bounds: str) -> _Check:
    lowest, highest = map(int, bounds.rsplit("-", 1))
    wrong = f"The value must be a whole number from {lowest} to {highest}."

    def check(value: Any) -> str:
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,6}", value, re.ASCII):
            value = int(value)
        good = isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest
        return "" if good else wrong

    return check


def _number(bounds: str) -> _Check:
    lowest, highest = map(int, bounds.split("-"))
    wrong = f"The value must be between {lowest} and {highest}."

    def check(value: Any) -> str:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,2}", text, re.ASCII):
            return "The value must be one or two digits."
        return "" if lowest <= int(text) <= highest else wrong

    return check


def _year(_: str) -> _Check:
    def check(value: Any) -> str:
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 99
        text = isinstance(value, str) and re.fullmatch(r"[0-9]{2}", value, re.ASCII)
        return "" if whole or text else "The value must be two digits."

    return check


def _amount(_: str) -> _Check:
    wrong = "The value must be digits with at most one point, 14 characters."
    return lambda value: "" if amount_text(value) else wrong


def _truth(_: str) -> _Check:
    return lambda value: "" if isinstance(value, bool) else "The value must be true or false."


def _url(_: str) -> _Check:
    wrong = f"The value must be a URL of at most {_URL_LIMIT} characters."
    return lambda value: "" if isinstance(value, str) and len(value) <= _URL_LIMIT and _URL.fullmatch(value) else wrong


def _address(_: str) -> _Check:
    def check(value: Any) -> str:
        try:
            ipaddress.ip_address(value if isinstance(value, str) else "")
        except ValueError:
            return "The value must be an IP address."
        return ""

    return check


def _base64(limit: str) -> _Check:
    form, wrong = re.compile(r"[0-9A-Za-z+/]+={0,2}", re.ASCII), f"The value must be base64, {limit} characters."
    return lambda value: "" if isinstance(value, str) and len(value) <= int(limit) and form.fullmatch(value) else wrong


def _list(_: str) -> _Check:
    wrong = "The value must be a list of objects."
    return lambda value: "" if isinstance(value, list) and all(isinstance(one, dict) for one in value) else wrong


def _versions(_: str) -> _Check:
    def check(value: Any) -> str:
        names = value.split(",") if isinstance(value, str) else value
        good = isinstance(names, list) and names and all(isinstance(one, str) and one in _VERSIONS for one in names)
        return "" if good else "The value must be of 3DS1 and 3DS2."

    return check


def _card(_: str) -> _Check:
    return lambda value: "" if isinstance(value, str) else "The value is not a card number."


_FORMS: Final[dict[str, Callable[[str], _Check]]] = {
    "text": _text,
    "choice": _choice,
    "letters": _letters,
    "digits": _digits,
    "whole": _whole,
    "number": _number,
    "year": _year,
    "amount": _amount,
    "truth": _truth,
    "url": _url,
    "address": _address,
    "base64": _base64,
    "list": _list,
    "versions": _versions,
    "card": _card,
}
_CUSTOM_FIELDS, _CUSTOM_LIMIT = 50, 250


def _custom(path: str, value: Any) -> None:
    if not isinstance(value, dict) or len(value) > _CUSTOM_FIELDS:
        raise Refusal(path, "INVALID", f"The value must be an object of at most {_CUSTOM_FIELDS} fields.")
    for name, text in value.items():
        if not isinstance(text, str) or len(text) > _CUSTOM_LIMIT:
            wrong = f"The value must be a text of at most {_CUSTOM_LIMIT} characters."
            raise Refusal(f"{path}.{shown_name(name)}", "INVALID", wrong)


def _read(lines: str) -> _Node:
    root = _Node()
    for line in lines.strip().splitlines():
        path, form, *more = line.split()
        node = root
        for name in path.split("."):
            node = node.fields.setdefault(name, _Node())
        if form == "*":
            node.open = True
        elif form != "custom":
            node.check = _FORMS[form](more[0] if more else "")
    return root


_ROOT: Final = _read(_FIELDS)
TOP: Final = frozenset(_ROOT.fields)
TRUTHS: Final = frozenset(path for path, form, *_ in map(str.split, _FIELDS.strip().splitlines()) if form == "truth")
"""The fields that are true or false."""


def check_fields(body: Body) -> None:
    """Raise Refusal naming the first field that is not known (UNSUPPORTED), or whose form is wrong (INVALID)."""
    _check_object(body, _ROOT, "")


def _check_object(body: Body, node: _Node, prefix: str) -> None:
    for name, value in body.items():
        known = node.fields.get(name)
        if known is None:
            if not node.open:
                raise Refusal(prefix + shown_name(name), "UNSUPPORTED", "The field is not known for this operation.")
            continue
        path = prefix + name
        if path == "order.custom":
            _custom(path, value)
        elif known.check is not None:
            wrong = known.check(value)
            if wrong:
                raise Refusal(path, "INVALID", wrong)
        elif not isinstance(value, dict):
            raise Refusal(path, "INVALID", "The value must be an object.")
        else:
            _check_object(value, known, f"{path}.")
