"""`shanraq iso20022 convert` between standards: FIN and card messages are recognised by how they begin."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from shanraq.standards import iso8583, iso20022, mt, translate

CARD: Final = "iso8583"
_FIN: Final = {"MT103": "pacs.008", "MT103STP": "pacs.008", "MT940": "camt.053", "MT942": "camt.052"}
_OF_FIN: Final = {"103": "pacs.008", "202": "pacs.009", "202COV": "pacs.009", "940": "camt.053", "942": "camt.052"}
_NEEDED: Final = ("issuer", "acquirer", "identifier")

Done = translate.Translation[Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What shall become of a message: `to` is a version (pacs.008.001.08), MT103, MT103STP, MT940, MT942 or iso8583.

    `header` is the version of the business header, "" for none; `layout` says how a card message is written in hex, None for
    JSON. `created` stands in the output; the present moment unless given.
    """

    to: str
    library: iso20022.Library
    header: str
    supply: Mapping[str, str] = field(default_factory=dict)
    layout: iso8583.Codec | None = None
    created: dt.datetime | None = None


def is_other_standard(data: bytes, to: str) -> bool:
    """Tell whether a file or what it shall become is of another standard than ISO 20022."""
    return not data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") or to == CARD or to.startswith("MT")


def translate_message(data: bytes, request: Request) -> tuple[bytes, Done]:
    """Return a message in another standard, and what became of its values.

    Raises TranslationError, MtError, Iso8583Error, Iso20022Error.
    """
    begin = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if begin.startswith(b"<"):
        return _from_xml(data, request)
    if begin.startswith((b"{1:", b":")):
        return _from_fin(data, request)
    return _from_card(data, request)


def translation_report(file: str, done: Done, *, raw: bool) -> dict[str, Any]:
    """Return the loss report of a translation as JSON knows it; values only when `raw`, those of cards always masked."""
    told = done.to_dict()
    traces = [trace for trace in told.pop("traces") if trace["outcome"] != iso20022.Outcome.KEPT]
    if not raw:
        for trace in traces:
            del trace["value"], trace["new_value"]
        for each in told["supplied"]:
            del each["value"]
    return {"file": file, **told, "not_kept": traces}


def _from_xml(data: bytes, request: Request) -> tuple[bytes, Done]:
    identity = iso20022.identify(iso20022.parse(data))
    iso20022.check_identity(identity)
    if identity.batch is not None or len(identity.documents) != 1:
        raise iso20022.Iso20022Error("several_messages", "", 0, "a business file: convert its messages one by one")
    document = identity.documents[0].element
    header = identity.headers[0].element if identity.headers else None
    known, supply = request.library, request.supply
    if request.to == CARD:
        done: Done = translate.cain_to_iso8583(document, supply=supply, definitions=known)
        return _card_text(done.result, request.layout), done
    if request.to not in _FIN:
        raise translate.TranslationError("another_message", "", f"there is no {request.to[:12]}, only {_names()}")
    if request.to.startswith("MT103"):
        flag = request.to.removeprefix("MT103")
        done = translate.pacs008_to_mt103(document, header, flag=flag, supply=supply, definitions=known)
    elif request.to == "MT940":
        done = translate.camt053_to_mt940(document, header, supply=supply, definitions=known)
    else:
        done = translate.camt052_to_mt942(document, header, supply=supply, definitions=known)
    return "\r\n".join(mt.write(message) for message in done.result).encode() + b"\r\n", done


def _from_fin(data: bytes, request: Request) -> tuple[bytes, Done]:
    messages = mt.read_all(data.decode("latin-1"))
    kind = _OF_FIN.get(messages[0].kind)
    if kind is None or not request.to.startswith(f"{kind}."):
        made = f"a MT{messages[0].kind} becomes a {kind}, such as {kind}.001.08" if kind else "it has no conversion"
        raise translate.TranslationError("another_message", "", f"{made}; not {request.to[:20]}")
    ways: dict[str, Callable[..., Done]] = {
        "pacs.008": translate.mt103_to_pacs008,
        "pacs.009": translate.mt202cov_to_pacs009,
        "camt.053": translate.mt940_to_camt053,
        "camt.052": translate.mt942_to_camt052,
    }
    source: Any = messages
    if kind.startswith("pacs"):
        if len(messages) > 1:
            raise mt.MtError("several_messages", "", 0, f"there are {len(messages)} messages: convert them one by one")
        source = messages[0]
    done = ways[kind](
        source,
        to=request.to,
        header=request.header,
        created=request.created,
        supply=request.supply,
        definitions=request.library,
    )
    return done.result.to_xml(), done


def _from_card(data: bytes, request: Request) -> tuple[bytes, Done]:
    messages = [_card_message(line, request.layout) for line in data.splitlines() if line.strip()]
    if not messages:
        raise translate.TranslationError("another_message", "", "there is nothing to read")
    if request.to.startswith("pacs.009."):
        return _settlement(messages, request)
    if len(messages) > 1:
        raise translate.TranslationError("several_messages", "", "convert card messages one by one")
    kind = translate.cain_of(messages[0])
    if request.to != kind:
        made = f"a {messages[0].mti} becomes a {kind}, or with others a pacs.009"
        raise translate.TranslationError("another_message", "mti", f"{made}; not {request.to[:20]}")
    done = translate.iso8583_to_cain(
        messages[0], created=request.created, supply=request.supply, definitions=request.library
    )
    return done.result.to_xml(), done


def _settlement(messages: list[iso8583.Message], request: Request) -> tuple[bytes, Done]:
    own = dict(request.supply)
    for key in _NEEDED:
        if key not in own:
            raise translate.TranslationError(
                "incomplete", "", f"a settlement needs {key}; supply it as {key}=...", supply=key
            )
    issuer, acquirer, identifier = (own.pop(key) for key in _NEEDED)
    system = own.pop("system", "")
    if len(messages) == 1 and messages[0].mti[1:2] == "5":
        done: Done = translate.totals_settlement(
            messages[0], debtor=issuer, creditor=acquirer, identifier=identifier, system=system, to=request.to,
            header=request.header, created=request.created, supply=own, definitions=request.library,
        )  # fmt: skip
    else:
        done = translate.card_settlement(
            messages, issuer=issuer, acquirer=acquirer, identifier=identifier, system=system, to=request.to,
            header=request.header, created=request.created, supply=own, definitions=request.library,
        )  # fmt: skip
    return done.result.to_xml(), done


def _card_message(line: bytes, layout: iso8583.Codec | None) -> iso8583.Message:
    if layout is not None:
        try:
            raw = bytes.fromhex(line.decode("ascii"))
        except (UnicodeDecodeError, ValueError):
            raise translate.TranslationError(
                "another_message", "", "a card message in a layout is one line of hex"
            ) from None
        return layout.decode(raw)
    try:
        return iso8583.Message.from_dict(msgspec.json.decode(line))
    except (msgspec.DecodeError, ValueError, AttributeError):
        raise translate.TranslationError(
            "another_message",
            "",
            "this is neither XML, nor FIN ({1: or :20:), nor a card message as `shanraq iso8583 decode --raw` prints it; "
            "a card message in hex needs --layout",
        ) from None


def _card_text(message: iso8583.Message, layout: iso8583.Codec | None) -> bytes:
    if layout is None:
        return msgspec.json.encode(message.to_dict()) + b"\n"
    return layout.encode(message).hex().upper().encode() + b"\n"


def _names() -> str:
    return f"{', '.join(_FIN)}, {CARD} and versions such as pacs.008.001.08"
