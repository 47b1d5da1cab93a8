"""The paths of the API, with and without a slash at the end, and the operation each one means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.model import Kind, Refusal


class Verb(StrEnum):
    """What a request asks for."""

    AUTHORIZE = "authorize"
    INCREMENT = "increment"
    CAPTURE = "capture"
    REFUND = "refund"
    CREDIT = "credit"
    REVERSE = "reverse"
    VOID = "void"
    TIMEOUT_REVERSE = "timeout_reverse"
    TIMEOUT_VOID = "timeout_void"
    REFRESH_STATUS = "refresh_status"
    SEARCH = "search"
    GET_SEARCH = "get_search"
    GET_TRANSACTION = "get_transaction"

    AUTHENTICATION_SETUP = "authentication_setup"
    AUTHENTICATE = "authenticate"
    AUTHENTICATION_RESULT = "authentication_result"
    DECIDE = "decide"
    MARK = "mark"
    ACT_ON_CASE = "act_on_case"
    COMMENT_ON_CASE = "comment_on_case"
    ADD_TO_LIST = "add_to_list"
    VERIFY_ADDRESS = "verify_address"
    SCREEN_EXPORT = "screen_export"

    CREATE_KEY = "create_key"
    CREATE_ASYMMETRIC_KEY = "create_asymmetric_key"
    CREATE_WEBHOOK = "create_webhook"
    LIST_WEBHOOKS = "list_webhooks"
    GET_WEBHOOK = "get_webhook"
    UPDATE_WEBHOOK = "update_webhook"
    DELETE_WEBHOOK = "delete_webhook"
    SET_WEBHOOK_STATUS = "set_webhook_status"
    TEST_WEBHOOK = "test_webhook"
    LIST_PRODUCTS = "list_products"

    LIST_BATCHES = "list_batches"
    GET_BATCH = "get_batch"
    GET_BATCH_DETAILS = "get_batch_details"
    CREATE_REPORT = "create_report"
    LIST_REPORTS = "list_reports"
    GET_REPORT = "get_report"
    DOWNLOAD_REPORT = "download_report"
    LIST_REPORT_DEFINITIONS = "list_report_definitions"
    GET_REPORT_DEFINITION = "get_report_definition"
    PUT_REPORT_SUBSCRIPTION = "put_report_subscription"
    PUT_PREDEFINED_SUBSCRIPTION = "put_predefined_subscription"
    LIST_REPORT_SUBSCRIPTIONS = "list_report_subscriptions"
    GET_REPORT_SUBSCRIPTION = "get_report_subscription"
    DELETE_REPORT_SUBSCRIPTION = "delete_report_subscription"
    BATCH_SUMMARIES = "batch_summaries"
    PURCHASE_REFUND_DETAILS = "purchase_refund_details"
    NET_FUNDINGS = "net_fundings"
    CONVERSION_DETAILS = "conversion_details"
    INTERCHANGE_DETAILS = "interchange_details"
    CHARGEBACK_SUMMARIES = "chargeback_summaries"
    CHARGEBACK_DETAILS = "chargeback_details"
    RETRIEVAL_SUMMARIES = "retrieval_summaries"
    RETRIEVAL_DETAILS = "retrieval_details"
    NOTIFICATIONS_OF_CHANGE = "notifications_of_change"

    LOOK_UP_BIN = "look_up_bin"
    TOKENIZE = "tokenize"
    CREATE_CUSTOMER = "create_customer"
    GET_CUSTOMER = "get_customer"
    UPDATE_CUSTOMER = "update_customer"
    DELETE_CUSTOMER = "delete_customer"
    CREATE_CUSTOMER_INSTRUMENT = "create_customer_instrument"
    LIST_CUSTOMER_INSTRUMENTS = "list_customer_instruments"
    GET_CUSTOMER_INSTRUMENT = "get_customer_instrument"
    UPDATE_CUSTOMER_INSTRUMENT = "update_customer_instrument"
    DELETE_CUSTOMER_INSTRUMENT = "delete_customer_instrument"
    CREATE_ADDRESS = "create_address"
    LIST_ADDRESSES = "list_addresses"
    GET_ADDRESS = "get_address"
    UPDATE_ADDRESS = "update_address"
    DELETE_ADDRESS = "delete_address"
    CREATE_INSTRUMENT = "create_instrument"
    GET_INSTRUMENT = "get_instrument"
    UPDATE_INSTRUMENT = "update_instrument"
    DELETE_INSTRUMENT = "delete_instrument"
    CREATE_IDENTIFIER = "create_identifier"
    GET_IDENTIFIER = "get_identifier"
    UPDATE_IDENTIFIER = "update_identifier"
    DELETE_IDENTIFIER = "delete_identifier"
    LIST_IDENTIFIER_INSTRUMENTS = "list_identifier_instruments"
    ENROLL_IDENTIFIER = "enroll_identifier"
    CREATE_NETWORK_TOKEN = "create_network_token"  # noqa: S105 - an operation, no secret
    GET_NETWORK_TOKEN = "get_network_token"  # noqa: S105
    DELETE_NETWORK_TOKEN = "delete_network_token"  # noqa: S105
    SIMULATE_ISSUER_EVENT = "simulate_issuer_event"


@dataclass(frozen=True, slots=True)
class Route:
    """An operation, the ids in its path, and the kind of operation that the first one names."""

    verb: Verb
    id: str = ""
    target: Kind | None = None
    second_id: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a merchant, read: the body is an empty object where there is none."""

    merchant_id: str
    route: Route
    body: dict[str, Any] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = ""


Handler = Callable[[Call], Reply]

_PAYMENTS: Final[dict[str, tuple[str, Verb, Kind | None]]] = {
    "/pts/v2/payments": ("POST", Verb.AUTHORIZE, None),
    "/pts/v2/payments/{}": ("PATCH", Verb.INCREMENT, Kind.AUTHORIZATION),
    "/pts/v2/payments/{}/captures": ("POST", Verb.CAPTURE, Kind.AUTHORIZATION),
    "/pts/v2/payments/{}/refunds": ("POST", Verb.REFUND, Kind.AUTHORIZATION),
    "/pts/v2/captures/{}/refunds": ("POST", Verb.REFUND, Kind.CAPTURE),
    "/pts/v2/payments/{}/reversals": ("POST", Verb.REVERSE, Kind.AUTHORIZATION),
    "/pts/v2/payments/{}/voids": ("POST", Verb.VOID, Kind.AUTHORIZATION),
    "/pts/v2/captures/{}/voids": ("POST", Verb.VOID, Kind.CAPTURE),
    "/pts/v2/refunds/{}/voids": ("POST", Verb.VOID, Kind.REFUND),
    "/pts/v2/credits/{}/voids": ("POST", Verb.VOID, Kind.CREDIT),
    "/pts/v2/reversals": ("POST", Verb.TIMEOUT_REVERSE, None),
    "/pts/v2/voids": ("POST", Verb.TIMEOUT_VOID, None),
    "/pts/v2/credits": ("POST", Verb.CREDIT, None),
    "/pts/v2/refresh-payment-status/{}": ("POST", Verb.REFRESH_STATUS, Kind.AUTHORIZATION),
}

_OTHERS: Final = """
    POST   /tss/v2/searches search
    GET    /tss/v2/searches/{} get_search
    GET    /tss/v2/transactions/{} get_transaction
    POST   /risk/v1/authentication-setups authentication_setup
    POST   /risk/v1/authentications authenticate
    POST   /risk/v1/authentication-results authentication_result
    POST   /risk/v1/decisions decide
    POST   /risk/v1/decisions/{}/marking mark
    POST   /risk/v1/decisions/{}/actions act_on_case
    POST   /risk/v1/decisions/{}/comments comment_on_case
    POST   /risk/v1/lists/{}/entries add_to_list
    POST   /risk/v1/address-verifications verify_address
    POST   /risk/v1/export-compliance-inquiries screen_export
    POST   /kms/egress/v2/keys-sym create_key
    POST   /kms/egress/v2/keys-asym create_asymmetric_key
    POST   /notification-subscriptions/v2/webhooks create_webhook
    GET    /notification-subscriptions/v2/webhooks list_webhooks
    GET    /notification-subscriptions/v2/webhooks/{} get_webhook
    PATCH  /notification-subscriptions/v2/webhooks/{} update_webhook
    DELETE /notification-subscriptions/v2/webhooks/{} delete_webhook
    PUT    /notification-subscriptions/v2/webhooks/{}/status set_webhook_status
    POST   /notification-subscriptions/v1/webhooks/{} test_webhook
    GET    /notification-subscriptions/v2/products/{} list_products
    GET    /pts/v1/transaction-batches list_batches
    GET    /pts/v1/transaction-batches/{} get_batch
    GET    /pts/v1/transaction-batch-details/{} get_batch_details
    POST   /reporting/v3/reports create_report
    GET    /reporting/v3/reports list_reports
    GET    /reporting/v3/reports/{} get_report
    GET    /reporting/v3/report-downloads download_report
    GET    /reporting/v3/report-definitions list_report_definitions
    GET    /reporting/v3/report-definitions/{} get_report_definition
    PUT    /reporting/v3/report-subscriptions put_report_subscription
    PUT    /reporting/v3/predefined-report-subscriptions put_predefined_subscription
    GET    /reporting/v3/report-subscriptions list_report_subscriptions
    GET    /reporting/v3/report-subscriptions/{} get_report_subscription
    DELETE /reporting/v3/report-subscriptions/{} delete_report_subscription
    GET    /reporting/v3/payment-batch-summaries batch_summaries
    GET    /reporting/v3/purchase-refund-details purchase_refund_details
    GET    /reporting/v3/net-fundings net_fundings
    GET    /reporting/v3/conversion-details conversion_details
    GET    /reporting/v3/interchange-clearing-level-details interchange_details
    GET    /reporting/v3/chargeback-summaries chargeback_summaries
    GET    /reporting/v3/chargeback-details chargeback_details
    GET    /reporting/v3/retrieval-summaries retrieval_summaries
    GET    /reporting/v3/retrieval-details retrieval_details
    GET    /reporting/v3/notification-of-changes notifications_of_change
    POST   /bin/v1/binlookup look_up_bin
    POST   /tms/v2/tokenize tokenize
    POST   /tms/v2/customers create_customer
    GET    /tms/v2/customers/{} get_customer
    PATCH  /tms/v2/customers/{} update_customer
    DELETE /tms/v2/customers/{} delete_customer
    POST   /tms/v2/customers/{}/payment-instruments create_customer_instrument
    GET    /tms/v2/customers/{}/payment-instruments list_customer_instruments
    GET    /tms/v2/customers/{}/payment-instruments/{} get_customer_instrument
    PATCH  /tms/v2/customers/{}/payment-instruments/{} update_customer_instrument
    DELETE /tms/v2/customers/{}/payment-instruments/{} delete_customer_instrument
    POST   /tms/v2/customers/{}/shipping-addresses create_address
    GET    /tms/v2/customers/{}/shipping-addresses list_addresses
    GET    /tms/v2/customers/{}/shipping-addresses/{} get_address
    PATCH  /tms/v2/customers/{}/shipping-addresses/{} update_address
    DELETE /tms/v2/customers/{}/shipping-addresses/{} delete_address
    POST   /tms/v1/paymentinstruments create_instrument
    GET    /tms/v1/paymentinstruments/{} get_instrument
    PATCH  /tms/v1/paymentinstruments/{} update_instrument
    DELETE /tms/v1/paymentinstruments/{} delete_instrument
    POST   /tms/v1/instrumentidentifiers create_identifier
    GET    /tms/v1/instrumentidentifiers/{} get_identifier
    PATCH  /tms/v1/instrumentidentifiers/{} update_identifier
    DELETE /tms/v1/instrumentidentifiers/{} delete_identifier
    GET    /tms/v1/instrumentidentifiers/{}/paymentinstruments list_identifier_instruments
    POST   /tms/v1/instrumentidentifiers/{}/enrollment enroll_identifier
    POST   /tms/v2/tokenized-cards create_network_token
    GET    /tms/v2/tokenized-cards/{} get_network_token
    POST   /tms/v2/tokenized-cards/{}/delete delete_network_token
    POST   /tms/v2/tokenized-cards/{}/issuer-life-cycle-event-simulations simulate_issuer_event
"""

_ROUTES: Final[dict[str, dict[str, tuple[Verb, Kind | None]]]] = {
    path: {method: (verb, kind)} for path, (method, verb, kind) in _PAYMENTS.items()
}
for _line in _OTHERS.split("\n"):
    if _line.strip():
        _method, _path, _verb = _line.split()
        _ROUTES.setdefault(_path, {})[_method] = (Verb(_verb), None)


def find_route(method: str, target: str) -> Route:
    """Return the operation of a method and a path; raises a Refusal with 404 or 405."""
    path = target.partition("?")[0].removesuffix("/")
    parts = path.split("/", 8)
    identifier = second = ""
    if len(parts) > 4 and parts[1] != "kms":
        identifier, parts[4] = parts[4], "{}"
        if len(parts) > 6:
            second, parts[6] = parts[6], "{}"
    known = _ROUTES.get("/".join(parts))
    if known is None:
        raise Refusal("INVALID_DATA", status=404, message="The requested resource was not found")
    if method not in known:
        raise Refusal("NOT_SUPPORTED", status=405, message="The method is not supported here")
    verb, kind = known[method]
    return Route(verb, unquote(identifier), kind, unquote(second))


def read_query(target: str) -> dict[str, str]:
    """Return the parameters of a target, decoded; raises a Refusal for one that is given twice."""
    _, _, text = target.partition("?")
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        raise Refusal("INVALID_DATA", field="query") from None
    query: dict[str, str] = {}
    for name, value in pairs:
        if name in query:
            raise Refusal("INVALID_DATA", field=name[:200])
        query[name] = value
    return query
