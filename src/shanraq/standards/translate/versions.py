"""What translations into ISO 20022 share: the header, the version asked for, and the account through both steps."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from lxml import etree

from shanraq.standards import iso20022
from shanraq.standards.iso20022 import Library, Outcome, Supplied
from shanraq.standards.iso20022.draft import is_value
from shanraq.standards.translate.account import Account, Parts, Trace, Translation
from shanraq.standards.translate.draft import Draft, put
from shanraq.standards.translate.errors import TranslationError, incomplete

HEADER: Final = "head.001.001.02"
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_HEADER_KEY: Final = "AppHdr/"
_LONGEST: Final = 35


@dataclass(frozen=True, slots=True)
class Target:
    """What a translation into ISO 20022 shall give: version, header ("" for none), moment of creation, values of the caller.

    Keys of `supply` are ends of paths; those that begin with AppHdr/ go into the header.
    """

    version: str
    header: str
    created: dt.datetime
    supply: Mapping[str, str]
    known: Library

    @classmethod
    def of(
        cls,
        version: str,
        kind: str,
        header: str,
        created: dt.datetime | None,
        supply: Mapping[str, str],
        definitions: Library | None,
    ) -> Target:
        """Return a target; raise TranslationError, code `another_message`, for a version of another message than `kind`."""
        known = definitions or iso20022.library()
        if not version.startswith(f"{kind}."):
            raise TranslationError("another_message", "", f"the message becomes a {kind}, not a {version[:20]}")
        known.definition(version)
        return cls(version, header, created or dt.datetime.now(dt.UTC), supply, known)

    def finish(
        self, draft: Draft, account: Account, source: str, sender: str, receiver: str, identifier: str
    ) -> Translation[Parts]:
        """Return the translation of a draft in the version asked for, under a header from one BIC to the other."""
        base = draft.definition
        own = {key: text for key, text in self.supply.items() if not key.startswith(_HEADER_KEY)}
        now = {key: text for key, text in own.items() if is_value(base, key)}
        later = {key: text for key, text in own.items() if key not in now}
        same = str(base.message_id) == self.version
        element, places = draft.finish(account, self.known, own if same else now)
        traces, supplied = account.traces(places), account.supplied(places)
        if not same:
            try:
                converted = iso20022.convert(element, to=self.version, definitions=self.known, supply=later)
            except iso20022.ConversionError as error:
                key = "/".join(error.path.split("/")[3:])
                raise incomplete(error.path, key, f"{self.version} demands what the message does not say") from None
            traces, supplied = _through(traces, supplied, converted)
            element = converted.document
        header, more = self._header(sender, receiver, identifier)
        return Translation(Parts(element, header), source, self.version, traces, supplied + more)

    def _header(
        self, sender: str, receiver: str, identifier: str
    ) -> tuple[etree._Element | None, tuple[Supplied, ...]]:
        if not self.header:
            return None, ()
        account = Account(())
        draft = Draft(self.known.definition(self.header))
        for name, bic in (("Fr", sender), ("To", receiver)):
            if not bic and not any(key.startswith(f"{_HEADER_KEY}{name}/") for key in self.supply):
                key = f"{_HEADER_KEY}{name}/FIId/FinInstnId/BICFI"
                raise incomplete(f"/AppHdr/{name}", key, "the business header names sender and receiver")
            if bic:
                account.supply(
                    (put(draft.top, f"{name}/FIId/FinInstnId/BICFI", bic), ""), bic, "derived", "sender and receiver"
                )
        number = put(draft.top, "BizMsgIdr", identifier[:_LONGEST])
        account.supply((number, ""), identifier[:_LONGEST], "derived", "the reference of the message")
        account.supply((put(draft.top, "MsgDefIdr", self.version), ""), self.version, "derived", "the version")
        moment = self.created.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        account.supply((put(draft.top, "CreDt", moment), ""), moment, "default", "the moment of the translation")
        given = {
            key.removeprefix(_HEADER_KEY): text for key, text in self.supply.items() if key.startswith(_HEADER_KEY)
        }
        element, places = draft.finish(account, self.known, given)
        return element, account.supplied(places)


def _through(
    traces: tuple[Trace, ...], supplied: tuple[Supplied, ...], converted: iso20022.Converted
) -> tuple[tuple[Trace, ...], tuple[Supplied, ...]]:
    """Return the account of both steps: what the second one made of the values is what became of them."""
    after = {trace.path: trace for trace in converted.traces}
    found = []
    for trace in traces:
        then = after.get(trace.target)
        if then is None:
            found.append(trace)
        elif then.outcome is Outcome.DROPPED:
            found.append(
                replace(trace, outcome=then.outcome, target="", code=then.code, new_value="", lacking=then.lacking)
            )
        elif then.outcome is Outcome.CHANGED:
            found.append(
                replace(trace, outcome=then.outcome, target=then.target, code=then.code, new_value=then.new_value)
            )
        else:
            found.append(replace(trace, target=then.target))
    kept = tuple(
        replace(each, path=after[each.path].target) if each.path in after else each
        for each in supplied
        if each.path not in after or after[each.path].outcome is not Outcome.DROPPED
    )
    return tuple(found), kept + converted.supplied


def moment_text(moment: dt.datetime) -> str:
    """Return a moment as ISO 20022 writes it, in UTC and to the second."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def in_base(
    document: etree._Element, kind: str, base: str, known: Library
) -> tuple[str, etree._Element, iso20022.Converted | None]:
    """Return message id and document in the version that is translated, and how it was brought into it.

    Raises TranslationError, code `another_message` or that of the schema's first finding.
    """
    identity = iso20022.identify(document)
    found = identity.documents[0].message_id if identity.documents else None
    if found is None or found.kind != kind:
        raise TranslationError("another_message", "", f"the message is no {kind}")
    whole = iso20022.cut_out(identity.documents[0].element)
    if wrong := iso20022.validate_schema(whole, known):
        raise TranslationError(wrong[0].code, wrong[0].path, wrong[0].message)
    if str(found) == base:
        return base, whole, None
    try:
        converted = iso20022.convert(whole, to=base, definitions=known)
    except iso20022.ConversionError as error:
        what = (
            f"the message is translated as {base}, which demands more than it says: convert it first, and supply that"
        )
        raise TranslationError(error.code, error.path, what) from None
    return str(found), converted.document, converted


def of_input(before: iso20022.Converted | None, after: tuple[iso20022.Trace, ...]) -> tuple[iso20022.Trace, ...]:
    """Return the account of an input that was brought into another version first."""
    if before is None:
        return after
    then = {trace.path: trace for trace in after}
    found = [trace for trace in after if trace.path.startswith("/AppHdr")]
    for first in before.traces:
        second = then.get(first.target)
        if second is None:
            found.append(first)
            continue
        both = replace(second, path=first.path, value=first.value)
        if first.outcome is Outcome.CHANGED and second.outcome is not Outcome.DROPPED:
            both = replace(both, outcome=first.outcome, code=first.code)
        found.append(both)
    return tuple(found)
