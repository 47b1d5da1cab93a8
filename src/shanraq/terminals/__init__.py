"""Terminals that speak ISO 8583 to us: whose they are, and what they asked."""

from shanraq.terminals.change import change_terminal
from shanraq.terminals.errors import (
    InvalidTerminalError,
    TerminalNotFoundError,
    TerminalTakenError,
)
from shanraq.terminals.find import find_terminal, list_terminals
from shanraq.terminals.messages import (
    Refusals,
    accepted,
    answer,
    carried_out,
    give_back_later,
    made_payment,
    note,
    original_of,
)
from shanraq.terminals.model import Asked, AskedKind, MessageStatus, NewTerminal, Noted, Terminal, TerminalStatus
from shanraq.terminals.register import register_terminal

__all__ = [
    "Asked", "AskedKind", "InvalidTerminalError", "MessageStatus", "NewTerminal", "Noted", "Refusals", "Terminal",
    "TerminalNotFoundError", "TerminalStatus", "TerminalTakenError", "accepted", "answer", "carried_out", "change_terminal",
    "find_terminal", "give_back_later", "list_terminals", "made_payment", "note", "original_of", "register_terminal",
]  # fmt: skip
