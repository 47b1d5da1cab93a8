"""Short cuts of signed messages: what bytes alone tell must be what the tree and libxml2's canonical form tell."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from shanraq.standards.iso20022.errors import Iso20022Error
from shanraq.standards.iso20022.identify import identify
from shanraq.standards.iso20022.parse import (
    Limits,
    check_bounds,
    check_tree,
    is_surely_narrow,
    is_surely_plain,
    make_parser,
    parse,
)
from shanraq.standards.iso20022.signatures import Canonicalization, SignatureError
from shanraq.standards.iso20022.signatures.algorithms import DSIG
from shanraq.standards.iso20022.signatures.body import check_foreign, is_canonical, is_surely_unsigned, read_body
from shanraq.standards.iso20022.signatures.canonical import read_tags, simplify, without_prolog
from tests.standards.iso20022.signing import DOCUMENT, HEADER, MESSAGE

PIECES = st.sampled_from([
    "<A>", "</A>", "<A/>", "<A />", "<A\n/>", "<A\t />", "<A >", "</A >", '<A Ccy="KZT">', "<A Ccy='KZT'>",
    '<A  Ccy="KZT">',
    '<A Ccy="KZT"/>', '<A Ccy="KZT" >', '<A\nCcy="KZT">', '<A Ccy= "KZT">', '<A b="1" Ccy="KZT">', '<A b="1">',
    "<A b='1'>",
    '<A b=" Ccy=">', '<A b="/>">', "<A b='x Ccy=\"KZT\">'>", '<A Ccy="K&#90;T">', '<A Ccy="&amp;">', '<A Id="x">',
    "<A ID ='x'>", '<A xsi:nil="true" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">', '<A xml:lang="kk">',
    "text", "a/>b", "/>",
    ' Ccy="KZT">', "12/34", ' xmlns="urn:x">', "&amp;", "&lt;", "&gt;", ">", "&quot;", "&apos;", '"', "'", "&#xD;",
    "&#xd;",
    "&#13;", "&#65;", "\n", "\t", "\r", "\r\n", " ", "]]&gt;", '<Document xmlns="urn:b">', "</Document>",
    '<Document xmlns="urn:a">', '<A xmlns="urn:c">', '<AppHdr xmlns="urn:a">', "</AppHdr>", '<A xmlns="">', "<xml:A>",
    "</xml:A>", '<p:A xmlns:p="urn:p">', "</p:A>", "<p:A>", f'<d:A xmlns:d="{DSIG}">', "</d:A>",
    f'<A xmlns="{DSIG}">', "<!-- -->",
    "<!--<A/>-->", "<?x?>", "<?x <A/>?>", "<![CDATA[x]]>", "<![CDATA[<A/>]]>", "Ә", '="', "\ufeff",
    "\N{NO-BREAK SPACE}",
    "\N{LINE SEPARATOR}", "&entity;", '<Document xmlns="relative">', '<Document xmlns="http://a/b?c=\'d\'">',
])  # fmt: skip
PROLOGS = st.sampled_from([
    "", "\ufeff", '<?xml version="1.0"?>', "<?xml version='1.0' encoding='utf-8' ?>\r\n",
    '\ufeff<?xml version="1.0"?>\n', "\n",
    '<?xml version="1.0" encoding="US-ASCII"?>', "<!DOCTYPE R>", '<?xml version="1.1"?>', "\v",
    ' <?xml version="1.0"?>',
    "<?x?>", "<?xml-stylesheet x?>", '<?xml version="1.0"?><?x?>', "<!-- -->", "\ufeff<?x?>",
])  # fmt: skip
ROOTS = st.sampled_from(["<R>", '<R xmlns="urn:a">', '<R xmlns="a">', "<R >", "<R\r\n>"])
ENCODINGS = st.sampled_from(["utf-8"] * 8 + ["utf-16", "utf-16-le", "utf-16-be"])
OPENED = re.compile(r"<([A-Za-z:]+)(?:[^>]*[^/>])?>\Z", re.DOTALL)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    open_tags: list[str] = []
    pieces = draw(st.lists(PIECES, max_size=12))
    for number, piece in enumerate(pieces):
        if (name := OPENED.match(piece)) is not None:
            open_tags.append(name[1])
        elif piece.startswith("</") and open_tags:
            # Mostly balanced, or hardly any would be well-formed.
            pieces[number] = f"</{open_tags.pop()}>"
    closing = "".join(f"</{name}>" for name in reversed(open_tags))
    text = (
        draw(PROLOGS) + draw(ROOTS) + "".join(pieces) + closing + "</R>" + draw(st.sampled_from(["", "\n", "<!-- -->"]))
    )
    return text.encode(draw(ENCODINGS))


def well_formed(text: bytes) -> etree._Element | None:
    try:
        return etree.fromstring(text, make_parser())
    except etree.XMLSyntaxError:
        return None


@settings(max_examples=2500, deadline=None)
@given(documents())
def test_what_is_taken_for_canonical_is_the_canonical_form_of_what_came(data: bytes) -> None:
    for text in (without_prolog(data), simplify(without_prolog(data))):
        tags = read_tags(text)
        if tags is None or DSIG.encode() in tags.namespaces:
            continue
        if well_formed(text) is None:
            with pytest.raises(Iso20022Error):
                parse(data, strict=True)
        elif is_canonical(text):
            root = parse(data, strict=True)
            check_foreign(root)
            for exclusive in (True, False):
                assert text == etree.tostring(root, method="c14n", exclusive=exclusive, with_comments=False)


@settings(max_examples=1500, deadline=None)
@given(documents(), st.integers(1, 4), st.integers(1, 12))
def test_what_bytes_prove_is_so_in_the_tree(data: bytes, attributes: int, elements: int) -> None:
    root = well_formed(data)
    if root is None or data.startswith((b"\xff", b"\xfe", b"\0", b"<\0")):
        return
    limits = Limits(attributes=attributes, elements=elements)

    if is_surely_narrow(data, limits):
        check_bounds(root, limits)
    if is_surely_plain(data):
        assert not root.xpath("//comment() | //processing-instruction()")
        check_tree(root, limits, strict=True)
    if is_surely_unsigned(data):
        check_foreign(root)


@pytest.mark.parametrize(
    "text",
    [
        '<R><A Ccy="KZT">1</A><A b="1">2</A></R>',  # another attribute beside one that is known
        "<R><A/></R>",
        "<R><A/><![CDATA[x]]></R>",  # as many shapes of start tags as of end tags
        "<R>\r</R>",
        "<R><</R>",
        "<R>></R>",
        "<R>&quot;</R>",
        '<p:R xmlns:p="urn:p"></p:R>',
    ],
)
def test_the_skeleton_of_what_is_not_canonical_is_known(text: str) -> None:
    assert read_tags(text.encode()) is None


def test_bytes_prove_no_more_than_they_can() -> None:
    empty = b"<R><A/><A/></R>"
    assert is_surely_narrow(empty, Limits(elements=4))
    assert not is_surely_narrow(empty, Limits(elements=2))
    assert is_surely_narrow(b'<R a="" b=""></R>', Limits(attributes=2))
    assert not is_surely_narrow(b'<R a="" b=""></R>', Limits(attributes=1))
    assert is_surely_plain(b'<?xml version="1.0"?><R>why? now!</R>')
    # A reference can write a letter of the namespace.
    assert not is_surely_plain(b'<R xmlns:x="http://www.w3.org/2001/XMLSchema-instanc&#101;" x:nil="true"></R>')
    assert not is_surely_unsigned(
        b'<R xmlns:d="http://www.w3.org/2000/09/xmldsi&#103;#"><d:Signature></d:Signature></R>'
    )


@pytest.mark.parametrize("attribute", ['Id="x"', 'ID="x"', 'id="x"', 'iD="x"', 'p:Id="x" xmlns:p="urn:p"', "Id\n='x'"])
def test_an_id_is_seen_in_the_bytes(attribute: str) -> None:
    assert not is_surely_unsigned(f"<R {attribute}></R>".encode())


@given(st.lists(st.sampled_from("<)"), max_size=40), st.integers(1, 8))
def test_the_depth_of_the_skeleton_is_the_depth_of_the_tree(moves: list[str], depth: int) -> None:
    text, level = "<a>", 1
    for move in moves:
        if move == "<":
            text, level = text + '<a Ccy="KZT">x ', level + 1
        elif level > 1:
            text, level = text + "</a>/", level - 1
    text += "</a>" * level
    tags = read_tags(text.encode())
    assert tags is not None

    deep = etree.fromstring(text).getroottree().xpath("boolean(" + "/*" * (depth + 1) + ")")

    assert tags.deeper_than(depth) is deep


@pytest.mark.parametrize(
    "data",
    [
        MESSAGE,
        DOCUMENT.encode(),
        b'<?xml version="1.0" encoding="UTF-8"?>\r\n' + MESSAGE,
        b"\xef\xbb\xbf" + MESSAGE + b"\n",
        MESSAGE.replace(b"<CdtTrfTxInf>", b"\r\n  <CdtTrfTxInf>"),
        MESSAGE.replace(b"</CdtTrfTxInf>", b"<Splmtry/><Splmtry /></CdtTrfTxInf>"),
        MESSAGE.replace(b"Rent", b'Rent = "high" 1/2 x: http://example.org/?a=b!'),
        MESSAGE.replace(b"<Envelope>", b'<Envelope xmlns="http://example.org/envelope">'),
    ],
)
def test_usual_messages_take_the_short_cut(data: bytes) -> None:
    assert is_canonical(simplify(without_prolog(data)))


@pytest.mark.parametrize(
    "change",
    [
        (b"</CdtTrfTxInf>", b"<A b='1'/></CdtTrfTxInf>"),
        (b'Ccy="KZT"', b"Ccy='KZT'"),
        (b"<Envelope>", b"<Envelope >"),
        (b"Rent", b"Rent>"),
        (b"Rent", b"&#82;ent"),
    ],
)
def test_unusual_messages_give_what_libxml2_gives(change: tuple[bytes, bytes]) -> None:
    data = MESSAGE.replace(*change)
    root = etree.fromstring(data)

    assert not is_canonical(simplify(without_prolog(data)))
    body = read_body(data, Canonicalization.EXCLUSIVE, Limits())

    assert body.canonical == etree.tostring(root, method="c14n", exclusive=True)
    assert etree.tostring(body.root, method="c14n", exclusive=True) == body.canonical
    assert identify(body.root).message_id == body.identity.message_id


def test_a_message_in_the_namespace_of_signatures_is_refused_in_canonical_form_too() -> None:
    data = f'<Envelope xmlns="{DSIG}">{HEADER}{DOCUMENT}</Envelope>'.encode()

    with pytest.raises(SignatureError) as refused:
        read_body(data, Canonicalization.EXCLUSIVE, Limits())

    assert refused.value.code == "several_signatures"


@pytest.mark.parametrize("limits", [Limits(elements=10), Limits(depth=3), Limits(namespaces=1), Limits(size_bytes=100)])
def test_the_limits_hold_on_the_short_cut(limits: Limits) -> None:
    with pytest.raises(SignatureError) as refused:
        read_body(MESSAGE, Canonicalization.EXCLUSIVE, limits)

    assert refused.value.code == "unsafe_message"
