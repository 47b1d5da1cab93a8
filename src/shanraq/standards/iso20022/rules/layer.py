"""The rules as a layer of `validate`: codes, identifiers, cross-field, profile and store.

report = validate(raw, profile="kz", as_of=now, options={"charset": "x"}, store=[earlier])   # they are registered
report = validate(raw, layers=[rule_layer(database)])        # earlier messages in a Store of one's own
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from shanraq.standards.iso20022.errors import Finding, Iso20022Error, Layer
from shanraq.standards.iso20022.identify import cut_out, identify
from shanraq.standards.iso20022.parse import parse
from shanraq.standards.iso20022.profiles import load_profile
from shanraq.standards.iso20022.rules.check import check_rules
from shanraq.standards.iso20022.store import MemoryStore, Store, record
from shanraq.standards.iso20022.validate import Context, LayerCheck


def check_rule_layers(context: Context) -> Iterator[Finding]:
    """Yield what the rules find; earlier messages are those of the context."""
    yield from _check(context, remember(context.store) if context.store else None)


def rule_layer(store: Store) -> LayerCheck:
    """Return the layer with earlier messages in a store of one's own."""

    def check(context: Context) -> Iterator[Finding]:
        yield from _check(context, store)

    return check


def remember(messages: Sequence[bytes]) -> MemoryStore:
    """Return a store of messages as they came, oldest first; what cannot be read is remembered by nobody."""
    store = MemoryStore()
    for data in messages:
        try:
            identity = identify(parse(data))
        except Iso20022Error:
            continue
        header = cut_out(identity.headers[0].element) if identity.headers else None
        for document in identity.documents:
            store.add(record(cut_out(document.element), header))
    return store


def _check(context: Context, store: Store | None) -> Iterator[Finding]:
    """Check each document with its header."""
    profile = load_profile(context.profile, day=context.as_of.date(), options=context.options)
    for document, top in zip(context.documents, context.headers_of, strict=True):
        header = None if top is None else top.element
        for found in check_rules(document.element, profile=profile, header=header, as_of=context.as_of, store=store):
            # How amounts are written is told by the lexical layer before.
            if found.layer is not Layer.LEXICAL:
                yield found
