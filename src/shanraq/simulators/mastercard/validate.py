"""The form of requests: ids, amounts, the fields that an operation knows. What is wrong is named as the gateway does."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

import msgspec

from shanraq.simulators.mastercard.fields import Body, find, find_choice, find_text, missing, reject_unknown, words
from shanraq.simulators.mastercard.refusal import Refusal
from shanraq.simulators.visa.currency import MINOR_DIGITS

INITIAL: Final = frozenset(
    {
        "AUTHORIZE", "PAY", "VERIFY", "STANDALONE_CAPTURE", "STANDALONE_REFUND", "DISBURSEMENT", "REFERRAL",
        "BALANCE_INQUIRY", "ACCOUNT_FUNDING_TRANSACTION",
    }
)  # fmt: skip
FOLLOWING: Final = frozenset({"CAPTURE", "REFUND", "VOID", "UPDATE_AUTHORIZATION"})
AUTHENTICATION: Final = frozenset({"INITIATE_AUTHENTICATION", "AUTHENTICATE_PAYER"})
OPERATIONS: Final = INITIAL | FOLLOWING | AUTHENTICATION
WITHOUT_AMOUNT: Final = frozenset({"VERIFY", "BALANCE_INQUIRY"})

_ID: Final = re.compile(r"[0-9A-Za-z_\-.~ &+!$%@:()']{1,40}", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_AMOUNT: Final = re.compile(r"[0-9]{1,13}(?:\.[0-9]{1,12})?", re.ASCII)
_COUNTRY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_SECURITY_CODE: Final = re.compile(r"[0-9]{3,4}", re.ASCII)
_AMOUNT_LIMIT: Final = 14
_DEPTH: Final = 20

_TOP: Final = words("""
    apiOperation correlationId order sourceOfFunds transaction customer billing shipping device authentication
    session agreement risk 3DSecureId 3DSecure airline travel hotel carRental cruise bus accountFunding action
    browserPayment cardPresent constraints currencyConversion debtRepayment disbursementType gatewayEntryPoint
    initiator interaction line locale merchant partnerSolutionId paymentPlan posTerminal referenceOrderId
    responseControls subgatewayMerchant transactionSource userId additionalNetworkData encryptedData
    linkedTransactions lineOfBusiness schemeTransaction splitPayment wallet
""")
_CARD: Final = words("""
    number expiry securityCode nameOnCard storedOnFile prefix issueNumber trackOne trackTwo emvRequest pinBlock tags
    devicePayment accountType cardType brand scheme fundingMethod sequenceNumber p2pe mobileWallet
    paymentAccountReference
""")
_KNOWN: Final[dict[str, frozenset[str]]] = {
    "order": words("""
    amount currency reference notificationUrl certainty acceptPartialAmount custom customerNote customerOrderDate
    customerReference description discount dutyAmount expectedSettlementAmount invoiceNumber item itemAmount
    localTaxRate marketplace owningEntity purchaseType requestorName shippingAndHandlingAmount
    shippingAndHandlingTaxAmount statementDescriptor subMerchant supply surchargeAmount surchargeRules tax taxAmount
    taxRegistrationId taxStatus transactionFiltering valueTransfer walletIndicator walletProvider netAmount
    gratuityAmount dateOfBirth id invoiceDate merchantCategoryCode reversal cashbackAmount productSKU handlingAmount
    lineItems
"""),
    "transaction": words("""
    amount currency reference targetTransactionId source frequency acquirer merchantNote serviceLocation
    discountAmount externalTokenProvider item taxAmount taxStatus accountFunding digitalReceiptId id subscription
    transitTransactionType funding itemAmount shippingAndHandlingAmount
"""),
    "sourceOfFunds": frozenset({"type", "token", "provided", "tokenRequestorID", "provider"}),
    "sourceOfFunds.provided.card": _CARD,
    "sourceOfFunds.provided.card.expiry": frozenset({"month", "year"}),
    "session": frozenset({"id", "version"}),
    "authentication": words("""
    transactionId acceptVersions channel purpose redirectResponseUrl 3ds 3ds1 3ds2 challengePreference psd2 amount
    time version method payerInteraction redirect goodsDescription merchantName authenticationStatus custom
    exemption
"""),
    "billing": frozenset({"address", "contact"}),
    "billing.address": words("""
    street street2 city stateProvince stateProvinceCode postcodeZip country company countrySubdivision
"""),
}


def parse(content: bytes) -> Body:
    """Read a body, numbers exactly; raises Refusal unless it is a JSON object."""
    try:
        body = _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, ArithmeticError):
        raise Refusal("", "", "The request body is not valid JSON.") from None
    if not isinstance(body, dict) or not body:
        raise Refusal("", "", "The request body must be a JSON object.")
    _check_depth(body, _DEPTH)
    return body


_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)


def _check_depth(value: Any, left: int) -> None:
    if left == 0:
        raise Refusal("", "INVALID", "The request is nested too deeply.")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(inner, left - 1)


def check_id(text: str, field: str) -> None:
    """Raise Refusal unless a text can be the id of an order or transaction."""
    if not _ID.fullmatch(text):
        raise Refusal(field, "INVALID", "The value must be 1 to 40 characters.")


def operation_of(body: Body) -> str:
    """Return apiOperation; raises Refusal when it is missing or not one that is known here."""
    operation = find(body, "apiOperation")
    if operation is None:
        raise missing("apiOperation")
    if not isinstance(operation, str) or operation not in OPERATIONS:
        shown = operation if isinstance(operation, str) and re.fullmatch(r"[A-Z_]{1,40}", operation) else "..."
        raise Refusal("apiOperation", "INVALID", f"Value '{shown}' is invalid.")
    return operation


def check_fields(body: Body) -> None:
    """Raise Refusal for the first field that no operation knows, or whose form is wrong."""
    reject_unknown(body, _TOP)
    for path, known in _KNOWN.items():
        value = find(body, path)
        if value is None:
            continue
        if not isinstance(value, dict):
            raise Refusal(path, "INVALID", "The value must be an object.")
        reject_unknown(value, known, f"{path}.")
    find_text(body, "correlationId", 100)
    find_text(body, "order.reference", 200)
    find_text(body, "transaction.reference", 200)
    find_text(body, "sourceOfFunds.token", 40)
    find_text(body, "sourceOfFunds.type", 40)
    find_choice(body, "order.certainty", frozenset({"FINAL", "ESTIMATED"}))
    for field, limit in (("street", 100), ("street2", 100), ("city", 100), ("stateProvince", 20), ("postcodeZip", 10)):
        find_text(body, f"billing.address.{field}", limit)
    for path in ("billing.address.country", "shipping.address.country"):
        country = find_text(body, path)
        if country is not None and not _COUNTRY.fullmatch(country):
            raise Refusal(path, "INVALID", "The value must be three capital letters.")
    url = find_text(body, "order.notificationUrl", 1000)
    if url is not None and not re.match(r"https?://[^\s/]+", url):
        raise Refusal("order.notificationUrl", "INVALID", "The value must be a URL.")
    code = find(body, "sourceOfFunds.provided.card.securityCode")
    if code is not None and not (isinstance(code, str) and _SECURITY_CODE.fullmatch(code)):
        raise Refusal("sourceOfFunds.provided.card.securityCode", "INVALID", "The value must be 3 or 4 digits.")
    custom = find(body, "order.custom")
    if custom is not None:
        if not isinstance(custom, dict) or len(custom) > 50:
            raise Refusal("order.custom", "INVALID", "There may be 50 fields.")
        for name, value in custom.items():
            if not isinstance(value, str) or len(value) > 250:
                raise Refusal(f"order.custom.{name[:40]}", "INVALID", "The value must be a text of 250 characters.")


def currency_of(body: Body, path: str) -> str:
    """Return the currency at a path; raises Refusal unless it is one of ISO 4217."""
    currency = find(body, path)
    if currency is None:
        raise missing(path)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency) or currency not in MINOR_DIGITS:
        raise Refusal(path, "INVALID", "The value must be an ISO 4217 currency code.")
    return currency


def amount_of(body: Body, path: str, currency: str, *, zero: bool = False) -> int:
    """Return the amount at a path in minor units; raises Refusal unless it is exact and positive."""
    value = find(body, path)
    if value is None:
        raise missing(path)
    if isinstance(value, Decimal):
        text = format(value, "f") if value.is_finite() and abs(value.adjusted()) < 30 else ""
    elif isinstance(value, int) and not isinstance(value, bool):
        text = str(value)
    else:
        text = value if isinstance(value, str) else ""
    if len(text) > _AMOUNT_LIMIT or not _AMOUNT.fullmatch(text):
        raise Refusal(path, "INVALID", "The value must be digits with at most one point, 14 characters.")
    digits = MINOR_DIGITS[currency]
    whole, _, fraction = text.partition(".")
    if len(fraction) > digits:
        raise Refusal(path, "INVALID", f"{currency} has {digits} decimal places.")
    minor = int(whole + fraction.ljust(digits, "0"))
    if not minor and not zero:
        raise Refusal(path, "INVALID", "The value must be more than zero.")
    return minor


def decimal(minor: int, currency: str) -> Decimal:
    """Return minor units as the number of a reply: 100, 10.01."""
    digits = MINOR_DIGITS[currency]
    value = Decimal(minor).scaleb(-digits)
    return Decimal(int(value)) if value == int(value) else value
