"""`shanraq iso20022 convert | to-json | from-json`: messages in other versions and forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from lxml import etree

from shanraq.standards import iso20022

MESSAGE_ID_ELEMENT: Final = "MsgDefIdr"


def convert_message(
    data: bytes, to: str, library: iso20022.Library, supply: Mapping[str, str]
) -> tuple[bytes, iso20022.Converted]:
    """Return a message with its Document in another version, envelope and header as they were, and what became of its values.

    `supply` is that of `iso20022.convert`. The header's MsgDefIdr names the new version. Raises Iso20022Error; code `signed`
    when a signature in the header would no longer hold.
    """
    identity = _identify(data)
    if identity.batch is not None or len(identity.documents) != 1:
        raise iso20022.Iso20022Error("several_messages", "", 0, "a business file: convert its messages one by one")
    if identity.header is not None and identity.header.signed:
        raise iso20022.Iso20022Error("signed", "/AppHdr/Sgntr", 0, "the signature would not hold for another version")
    document = identity.documents[0].element
    converted = iso20022.convert(document, to=to, definitions=library, supply=supply)
    parent = document.getparent()
    if parent is None:
        return _serialized(converted.document), converted
    for header in identity.headers:
        for element in header.element.iterchildren(f"{{{header.namespace}}}{MESSAGE_ID_ELEMENT}"):
            element.text = str(converted.target)
    converted.document.tail = document.tail
    root = document.getroottree().getroot()
    parent.replace(document, converted.document)
    return _serialized(root), converted


def message_to_json(data: bytes, library: iso20022.Library) -> list[bytes]:
    """Return header and documents of a message as JSON, in their order; raise Iso20022Error."""
    identity = _identify(data)
    return [iso20022.to_json(part.element, library) for part in (*identity.headers, *identity.documents)]


def message_from_json(lines: Iterable[bytes], library: iso20022.Library) -> bytes:
    """Return the message of lines of JSON: one alone as it is, several inside of an Envelope; raise Iso20022Error."""
    parts = [iso20022.from_json(line, library) for line in lines if line.strip()]
    if not parts:
        raise iso20022.Iso20022Error("empty", "", 0, "there is nothing to read")
    if len(parts) == 1:
        return _serialized(parts[0])
    envelope = etree.Element("Envelope")
    envelope.extend(parts)
    return _serialized(envelope)


def report(file: str, converted: iso20022.Converted, *, raw: bool) -> dict[str, Any]:
    """Return the loss report of a conversion as JSON knows it; values only when `raw`."""
    losses = [trace.to_dict() for trace in converted.traces if trace.outcome is not iso20022.Outcome.KEPT]
    if not raw:
        for loss in losses:
            del loss["value"], loss["new_value"]
    supplied = [each.to_dict() if raw else {"path": each.path, "source": each.source} for each in converted.supplied]
    return {
        "file": file,
        "from": str(converted.source),
        "to": str(converted.target),
        "values": converted.counts(),
        "supplied": supplied,
        "not_kept": losses,
    }


def _identify(data: bytes) -> iso20022.Identity:
    identity = iso20022.identify(iso20022.parse(data))
    iso20022.check_identity(identity)
    return identity


def _serialized(element: etree._Element) -> bytes:
    return etree.tostring(element, xml_declaration=True, encoding="UTF-8") + b"\n"
