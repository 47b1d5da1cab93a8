"""The catalogue: every event type a partner can receive. Names are a contract; more may be added, none changes meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*){1,3}")
NAME_LIMIT: Final = 128
SENSITIVE_PREFIXES: Final = ("fraud.", "compliance.", "audit.", "aml.", "kyc.", "case.")


@dataclass(frozen=True, slots=True)
class EventType:
    """A type of the catalogue: name, schema version, what happened in one sentence."""

    name: str
    meaning: str
    version: int = 1

    @property
    def sensitive(self) -> bool:
        """Tell whether a subscription to `*` leaves it out unless the endpoint may see it."""
        return self.name.startswith(SENSITIVE_PREFIXES)


_TYPES: Final = (
    EventType("transaction.created", "A money movement between accounts was requested."),
    EventType("transaction.authorized", "Its money is held."),
    EventType("transaction.executed", "Its money has moved."),
    EventType("transaction.failed", "It was refused; nothing moved."),
    EventType("transaction.rolled_back", "Its hold was released or its movement reversed."),
    EventType("account.created", "An account was opened."),
    EventType("account.updated", "An account's details or status changed."),
    EventType("account.suspended", "An account was suspended."),
    EventType(
        "account.reported", "A report of an account was made: a notification, an intraday report or a statement."
    ),
    EventType("payment.initiated", "A payment was sent to its payment system."),
    EventType("payment.authorized", "The payment system holds the money."),
    EventType("payment.incremented", "The authorised amount was raised."),
    EventType("payment.expired", "Nobody captured the authorisation in time; its release was ordered."),
    EventType("payment.outcome_overdue", "The payment system has given no outcome for 15 minutes; it is looked after."),
    EventType("payment.paid", "The money of a credit was paid to the card."),
    EventType("payment.captured", "All or part of the authorised money was taken."),
    EventType("payment.completed", "The payment is captured in full; nothing is left to take."),
    EventType("payment.failed", "The payment was declined or could not be made."),
    EventType("payment.voided", "The payment was cancelled before clearing."),
    EventType("payment.refunded", "All or part of the payment was paid back."),
    EventType("payment.requires_action", "The gateway holds the payment for review."),
    EventType("refund.created", "A refund was sent to the payment system."),
    EventType("refund.completed", "The refund is done."),
    EventType("refund.failed", "The refund was refused; the money stays."),
    EventType("p2p_transfer.initiated", "A transfer between customers was requested."),
    EventType("p2p_transfer.completed", "The transfer is done."),
    EventType("p2p_transfer.failed", "The transfer was refused; nothing moved."),
    EventType("p2p_transfer.rolled_back", "The transfer was reversed."),
    EventType("payment_file.accepted", "A payment file is valid; its transactions become credit transfers."),
    EventType("payment_file.rejected", "A payment file was refused as a whole; nothing of it is carried out."),
    EventType("payment_file.completed", "Every credit transfer of a payment file has its outcome."),
    EventType("credit_transfer.settled", "The money of a credit transfer has reached the other account or bank."),
    EventType("credit_transfer.rejected", "A credit transfer was refused; nothing moved."),
    EventType("credit_transfer.returned", "A settled credit transfer came back."),
    EventType("recall.answered", "The other bank answered a recall."),
    EventType("settlement.completed", "Everything of a day that concerns the partner is settled and posted."),
    EventType("settlement.exception", "A payment system settled a payment otherwise than expected, or not at all."),
    EventType("chargeback.received", "A cardholder or issuer disputes a payment."),
    EventType("chargeback.updated", "A dispute went on: a stage, an answer, an outcome, or money."),
    EventType("fraud.detected", "A payment system or rule reports fraud."),
    EventType("compliance.alert", "A compliance rule asks for attention."),
    EventType("audit.event", "Something worth an auditor's attention happened."),
    EventType("partner.activated", "The partner went live."),
    EventType("partner.suspended", "The partner was suspended."),
    EventType("api_key.created", "An API key was issued."),
    EventType("api_key.rotated", "An API key was replaced by a new one."),
    EventType("api_key.revoked", "An API key was revoked."),
    EventType("webhook_endpoint.created", "A webhook endpoint was added."),
    EventType("webhook_endpoint.updated", "A webhook endpoint was changed."),
    EventType("webhook_endpoint.deleted", "A webhook endpoint was removed."),
    EventType("webhook_endpoint.disabled", "A webhook endpoint was disabled."),
    EventType("webhook_endpoint.ping", "A test delivery."),
    EventType("message.exhausted", "A webhook message was given up after its last retry."),
)
CATALOG: Final = {event_type.name: event_type for event_type in _TYPES}


def valid_name(name: str) -> bool:
    """Tell whether a text has the form of an event type: `resource[.sub].past_tense_verb`, at most 128 characters."""
    return len(name) <= NAME_LIMIT and _NAME.fullmatch(name) is not None
