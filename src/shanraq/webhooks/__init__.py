"""Webhooks: events delivered to partners' endpoints, signed (Standard Webhooks 1.0.0), retried, logged, never lost."""

from shanraq.webhooks.delete import delete_endpoint
from shanraq.webhooks.deliver import Courier, Round, deliver, run_deliveries, sweep
from shanraq.webhooks.enqueue import enqueue
from shanraq.webhooks.errors import (
    DeliveryNotFoundError,
    EndpointNotEnabledError,
    EndpointNotFoundError,
    EndpointVersionError,
    EventNotFoundError,
    InvalidEndpointError,
    InvalidScheduleError,
    InvalidSecretError,
    InvalidSubscriptionError,
    TooManyEndpointsError,
    TooManySecretsError,
)
from shanraq.webhooks.find import attempts, deliveries_of, find_endpoint, list_deliveries, list_endpoints
from shanraq.webhooks.guard import GuardedResolver, GuardPolicy
from shanraq.webhooks.model import (
    READ,
    READ_SECRETS,
    SEALED,
    SENSITIVE,
    WRITE,
    Attempt,
    Delivery,
    DeliveryState,
    DisabledReason,
    Endpoint,
    EndpointChange,
    EndpointDeleted,
    EndpointSecret,
    EndpointState,
    ExhaustedMessage,
    NewEndpoint,
    Ping,
    Trigger,
)
from shanraq.webhooks.pause import pause, resume
from shanraq.webhooks.redeliver import redeliver, send_test
from shanraq.webhooks.secret import rotate_secret, secret
from shanraq.webhooks.signing import HmacSecret, Rejection, SecretKind, parse_secret
from shanraq.webhooks.signing import verify as verify_signature
from shanraq.webhooks.subscribe import subscribe
from shanraq.webhooks.update import update_endpoint
from shanraq.webhooks.verify import verify_deliveries

__all__ = [
    "READ",
    "READ_SECRETS",
    "SEALED",
    "SENSITIVE",
    "WRITE",
    "Attempt",
    "Courier",
    "Delivery",
    "DeliveryNotFoundError",
    "DeliveryState",
    "DisabledReason",
    "Endpoint",
    "EndpointChange",
    "EndpointDeleted",
    "EndpointNotEnabledError",
    "EndpointNotFoundError",
    "EndpointSecret",
    "EndpointState",
    "EndpointVersionError",
    "EventNotFoundError",
    "ExhaustedMessage",
    "GuardPolicy",
    "GuardedResolver",
    "HmacSecret",
    "InvalidEndpointError",
    "InvalidScheduleError",
    "InvalidSecretError",
    "InvalidSubscriptionError",
    "NewEndpoint",
    "Ping",
    "Rejection",
    "Round",
    "SecretKind",
    "TooManyEndpointsError",
    "TooManySecretsError",
    "Trigger",
    "attempts",
    "delete_endpoint",
    "deliver",
    "deliveries_of",
    "enqueue",
    "find_endpoint",
    "list_deliveries",
    "list_endpoints",
    "parse_secret",
    "pause",
    "redeliver",
    "resume",
    "rotate_secret",
    "run_deliveries",
    "secret",
    "send_test",
    "subscribe",
    "sweep",
    "update_endpoint",
    "verify_deliveries",
    "verify_signature",
]
