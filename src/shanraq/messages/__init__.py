"""The store of ISO 20022 messages: what came in and went out, sealed, found by its identifiers; and the queue to a clearing."""

from shanraq.messages.errors import MessageNotFoundError
from shanraq.messages.find import find_message, list_messages, message_content
from shanraq.messages.keep import keep, keep_once
from shanraq.messages.mailbox import advance, position, reading, system
from shanraq.messages.model import PREFIX, SEALED, Direction, Message, MessageStatus, NewMessage, Party, Queued
from shanraq.messages.queue import (
    give_up,
    is_settled,
    mark_applied,
    mark_failed,
    mark_sent,
    postpone,
    refuse,
    take_queued,
)
from shanraq.messages.read import content, find, of_message_id, related

__all__ = [
    "PREFIX", "SEALED", "Direction", "Message", "MessageNotFoundError", "MessageStatus", "NewMessage", "Party",
    "Queued", "advance", "content", "find", "find_message", "give_up", "is_settled", "keep", "keep_once",
    "list_messages", "mark_applied", "mark_failed", "mark_sent", "message_content", "of_message_id", "position",
    "postpone", "reading", "refuse", "related", "system", "take_queued",
]  # fmt: skip
