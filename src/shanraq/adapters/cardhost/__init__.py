"""Payments over an acquirer's host that speaks ISO 8583."""

from shanraq.adapters.cardhost.adapter import CardHostAdapter, CardHostConfiguration
from shanraq.adapters.cardhost.link import Choice, Link, LinkConfiguration, LinkStatus, Session
from shanraq.adapters.cardhost.matching import DuplicateKeyError, NoAnswerError, NotSentError
from shanraq.adapters.cardhost.store import SEALED, Backlog, QueueEntry, list_queue, queue_again
from shanraq.adapters.cardhost.wire import Merchant, Wording

__all__ = [
    "SEALED", "Backlog", "CardHostAdapter", "CardHostConfiguration", "Choice", "DuplicateKeyError", "Link",
    "LinkConfiguration", "LinkStatus", "Merchant", "NoAnswerError", "NotSentError", "QueueEntry", "Session",
    "Wording", "list_queue", "queue_again",
]  # fmt: skip
