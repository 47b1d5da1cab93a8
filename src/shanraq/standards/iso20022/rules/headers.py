"""Rules about the business application header beside its message."""

from __future__ import annotations

import re
from typing import Final

from lxml import etree

from shanraq.standards.iso20022.errors import Layer, Severity
from shanraq.standards.iso20022.identifiers import same_bic
from shanraq.standards.iso20022.rules.context import Block, Context, Message
from shanraq.standards.iso20022.rules.registry import Fault, Faults, Scope, rule
from shanraq.standards.iso20022.store import bic_of
from shanraq.standards.iso20022.tree import Node, child

_OFFSET: Final = re.compile(r".*(Z|[+-][0-9]{2}:[0-9]{2})")
_VARIANTS: Final = {"cov": "pacs.009", "adv": "pacs.009", "stp": "pacs.008"}


@rule("header_definition", Scope.MESSAGE, Layer.CROSS, "FF01")
def header_definition(message: Message, _: Context) -> Faults:
    """MsgDefIdr of the header is the definition of the message."""
    element = message.header.first("MsgDefIdr") if message.header is not None else None
    if element is not None and (element.text or "").strip() != message.id:
        yield Fault(element, "the message is of another definition")


@rule("header_message_id", Scope.MESSAGE, Layer.CROSS, "CH16", severity=Severity.WARNING)
def header_message_id(message: Message, context: Context) -> Faults:
    """BizMsgIdr of the header contains the identifier of the message (warning; the profile may ask that they are equal)."""
    element = message.header.first("BizMsgIdr") if message.header is not None else None
    if element is None or message.message_id is None or context.profile.header_repeats_message_id:
        return
    if message.message_id not in (element.text or ""):
        yield Fault(element, "BizMsgIdr does not contain the identifier of the message")


@rule("header_same_id", Scope.MESSAGE, Layer.PROFILE, "CH16", setting="header_repeats_message_id")
def header_same_id(message: Message, _: Context) -> Faults:
    """BizMsgIdr of the header is the identifier of the message."""
    element = message.header.first("BizMsgIdr") if message.header is not None else None
    if element is not None and message.message_id is not None and element.text != message.message_id:
        yield Fault(element, "BizMsgIdr is not the identifier of the message")


@rule("header_offset", Scope.MESSAGE, Layer.PROFILE, "DT02", setting="header_offset_required")
def header_offset(message: Message, _: Context) -> Faults:
    """CreDt of the header has an offset to UTC."""
    element = message.header.first("CreDt") if message.header is not None else None
    if element is not None and _OFFSET.fullmatch((element.text or "").strip()) is None:
        yield Fault(element, "CreDt has no offset to UTC")


@rule("header_agents", Scope.MESSAGE, Layer.PROFILE, "CH16", setting="header_names_agents")
def header_agents(message: Message, _: Context) -> Faults:
    """From is the instructing agent or assigner; To the instructed agent or assignee, but for copies to others."""
    if message.header is None:
        return
    copied = message.header.text("CpyDplct") in ("COPY", "CODU")
    for side, agent, role in (("Fr", "InstgAgt", "Assgnr"), ("To", "InstdAgt", "Assgne")):
        element = _header_bic(message.header, side)
        expected = _agent_bic(message, agent, role)
        if element is None or not expected or same_bic(element.text or "", expected) or (side == "To" and copied):
            continue
        yield Fault(element, f"{side} is not the {'instructing' if side == 'Fr' else 'instructed'} agent")


def _header_bic(header: Node, side: str) -> etree._Element | None:
    institution = header.first(side, "FIId", "FinInstnId")
    found = child(institution, "BICFI")
    return found if found is not None else child(institution, "BIC")


def _agent_bic(message: Message, agent: str, role: str) -> str:
    found = bic_of(message.head.first(agent, "FinInstnId")) or bic_of(message.head.first(role, "Agt", "FinInstnId"))
    return found if found or message.first is None else bic_of(message.first.first(agent, "FinInstnId"))


@rule("header_priority", Scope.MESSAGE, Layer.PROFILE, "CH16", setting="header_names_agents")
def header_priority(message: Message, _: Context) -> Faults:
    """Prty of the header is the instruction priority of the payment, where both are there."""
    element = message.header.first("Prty") if message.header is not None else None
    if element is None or message.first is None:
        return
    priority = message.first.text("PmtTpInf", "InstrPrty") or message.head.text("PmtTpInf", "InstrPrty")
    if priority and element.text != priority:
        yield Fault(element, "Prty is not the instruction priority of the payment")


@rule("header_service", Scope.MESSAGE, Layer.PROFILE, "CH16", setting="business_services")
def header_service(message: Message, context: Context) -> Faults:
    """BizSvc of the header is a service of the profile, and its variant fits the message."""
    if message.header is None:
        return
    element = message.header.first("BizSvc")
    if element is None:
        assert message.header.element is not None
        yield Fault(message.header.element, "BizSvc is missing", "CH21")
        return
    value = element.text or ""
    parts = value.split(".")
    family = _VARIANTS.get(parts[2]) if len(parts) == 4 else None
    if value not in context.profile.business_services:
        yield Fault(element, "no business service of the profile")
    elif family is not None and family != message.family:
        yield Fault(element, "the variant of the business service does not fit the message")
    elif message.family == "pacs.009":
        cover = message.first is not None and "UndrlygCstmrCdtTrf" in message.first
        if cover != (family is not None and parts[2] == "cov"):
            yield Fault(
                element, "the service of cover payments is for a message with UndrlygCstmrCdtTrf, and for no other"
            )


@rule(
    "header_copy",
    Scope.BLOCK,
    Layer.PROFILE,
    "CH16",
    messages="camt.052 camt.053 camt.054",
    setting="header_names_agents",
)
def header_copy(block: Block, context: Context) -> Faults:
    """CpyDplct of the header is that of the report."""
    header = context.message.header
    element = header.first("CpyDplct") if header is not None else None
    stated = block.text("CpyDplctInd")
    if element is not None and stated and stated != element.text:
        yield Fault(element, "CpyDplct is not that of the report")
