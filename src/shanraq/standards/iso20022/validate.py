"""Validate a message, layer by layer; each layer reports all it finds.

safety, lexical and schema are here. Further layers (codes, identifiers, cross-field rules, profiles, stored messages) are
functions from a Context to findings, registered with `register_layer` or handed over; they see documents whose schema is known,
valid or not.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lxml import etree

from shanraq.standards.iso20022.check import check_lexical
from shanraq.standards.iso20022.definition import Definition
from shanraq.standards.iso20022.errors import Finding, Iso20022Error, Layer, Severity
from shanraq.standards.iso20022.identify import Identity, Part, check_identity, cut_out, identify
from shanraq.standards.iso20022.library import Library, library
from shanraq.standards.iso20022.parse import DEFAULT_LIMITS, Limits, parse
from shanraq.standards.iso20022.parts import validate_schema


@dataclass(frozen=True, slots=True)
class Checked:
    """One Document or AppHdr as the layers see it: cut out, with its definition; `schema_valid` is its schema's verdict."""

    part: Part
    element: etree._Element
    definition: Definition
    schema_valid: bool


@dataclass(frozen=True, slots=True)
class Context:
    """What a layer may look at.

    `as_of` is the clock to judge dates by, aware. `options` are settings of the profile by name, `store` the messages that were
    processed before, oldest first, as they came. `headers_of` are the headers of the documents, as Identity has them. A layer
    must not trust a document whose schema_valid is False to be complete.
    """

    identity: Identity
    headers: tuple[Checked, ...]
    documents: tuple[Checked, ...]
    headers_of: tuple[Checked | None, ...]
    profile: str
    as_of: dt.datetime
    options: Mapping[str, Any]
    store: Sequence[bytes]
    library: Library

    @property
    def schema_valid(self) -> bool:
        """Tell whether every part is valid for its schema."""
        return all(checked.schema_valid for checked in (*self.headers, *self.documents))


LayerCheck = Callable[[Context], Iterable[Finding]]
_registered: Final[list[LayerCheck]] = []


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict on a message: `message` is its id, "" when unknown. Only errors make it invalid."""

    message: str
    findings: tuple[Finding, ...] = field(default=())

    @property
    def valid(self) -> bool:
        """Tell whether there is no error."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON knows it."""
        findings = [finding.to_dict() for finding in self.findings]
        return {"message": self.message, "valid": self.valid, "findings": findings}


def register_layer(check: LayerCheck) -> LayerCheck:
    """Let every validation from now on call a further layer, after those registered before; once, however often it is named."""
    if check not in _registered:
        _registered.append(check)
    return check


def registered_layers() -> tuple[LayerCheck, ...]:
    """Return the layers that every validation calls after its own."""
    return tuple(_registered)


def validate(
    data: bytes,
    *,
    profile: str = "iso",
    as_of: dt.datetime | None = None,
    options: Mapping[str, Any] | None = None,
    store: Sequence[bytes] = (),
    definitions: Library | None = None,
    limits: Limits = DEFAULT_LIMITS,
    layers: Sequence[LayerCheck] | None = None,
) -> Report:
    """Return what does not hold in a message; never raises for what the bytes say.

    Option `policy` = strict refuses comments, CDATA and attributes of xsi everywhere. `layers` stands in for the
    registered ones; () leaves all out. `as_of` is the present moment unless given.
    """
    chosen = dict(options or {})
    known = definitions or library()
    try:
        root = parse(data, limits=limits, strict=chosen.get("policy") == "strict")
    except Iso20022Error as error:
        return Report("", (error.to_finding(),))
    identity = identify(root)
    message = str(identity.message_id or "")
    try:
        check_identity(identity)
    except Iso20022Error as error:
        return Report(message, (error.to_finding(),))
    findings: list[Finding] = []
    headers = [_check(part, known, findings) for part in identity.headers]
    by_part = {part.element: found for part, found in zip(identity.headers, headers, strict=True)}
    documents = [
        (found, None if top is None else by_part[top.element])
        for part, top in zip(identity.documents, identity.headers_of, strict=True)
        if (found := _check(part, known, findings)) is not None
    ]
    context = Context(
        identity=identity,
        headers=tuple(each for each in headers if each is not None),
        documents=tuple(each for each, _ in documents),
        headers_of=tuple(top for _, top in documents),
        profile=profile,
        as_of=as_of or dt.datetime.now(dt.UTC),
        options=chosen,
        store=store,
        library=known,
    )
    for layer in _registered if layers is None else layers:
        findings.extend(layer(context))
    return Report(message, tuple(findings))


def _check(part: Part, known: Library, findings: list[Finding]) -> Checked | None:
    assert part.message_id is not None  # check_identity has seen to it
    element = cut_out(part.element)
    try:
        definition = known.definition(part.message_id)
    except Iso20022Error as error:
        findings.append(error.to_finding(Layer.SCHEMA))
        return None
    findings.extend(check_lexical(element, definition))
    wrong = validate_schema(element, known)
    findings.extend(wrong)
    return Checked(part, element, definition, not wrong)
