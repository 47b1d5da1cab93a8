"""Make the code sets of `standards/iso20022/codesets` from the published files.

    python tools/iso20022_codes.py editions EXTERNAL_CODES.json 2Q2026 2026-05-31
    python tools/iso20022_codes.py elements FOLDER_OF_SCHEMAS EXTERNAL_CODES.json

The first writes the codes of every external set of an edition, without their definitions. The JSON is what the registration
authority publishes each quarter; packages that carry it (pain001: `corpus/data/external_codes`) have it unchanged. The second
writes which elements take their codes from which set, read from the types in the schemas.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

XSD = "{http://www.w3.org/2001/XMLSchema}"
FOLDER = Path(__file__).resolve().parents[1] / "src" / "shanraq" / "standards" / "iso20022" / "codesets"
AREAS = ("pain", "pacs", "camt", "remt", "head", "admi")
DEPTH = 5
NOTICE = (
    "Codes of the ISO 20022 external code sets. This is not the official ISO 20022 site; the sole source of up-to-date "
    "material and information on the ISO 20022 message standards and Repository is https://www.iso20022.org."
)

Tail = tuple[str, ...]


def read_sets(path: Path) -> dict[str, list[str]]:
    """Return the codes of every set that has some."""
    definitions = json.loads(path.read_text("utf-8"))["definitions"]
    return {name: sorted(found["enum"]) for name, found in sorted(definitions.items()) if found.get("enum")}


def write_edition(path: Path, edition: str, valid_from: str) -> None:
    """Write one edition."""
    sets = {name: " ".join(codes) for name, codes in read_sets(path).items()}
    content = {
        "schema": "iso20022-codes/1",
        "edition": edition,
        "valid_from": valid_from,
        "notice": NOTICE,
        "sets": sets,
    }
    (FOLDER / f"external-{edition}.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def code_elements(folder: Path) -> dict[Tail, set[str | frozenset[str]]]:
    """Return for every path (its last names) of an element with codes the sets, or the closed lists, that occur there."""
    found: dict[Tail, set[str | frozenset[str]]] = defaultdict(set)
    for path in sorted(folder.rglob("*.xsd")):
        if path.name[:4] in AREAS:
            for tail, codes in _walk_schema(etree.parse(path).getroot()):
                found[tail].add(codes)
    return found


def _walk_schema(root: etree._Element) -> Iterator[tuple[Tail, str | frozenset[str]]]:
    children: dict[str, list[tuple[str, str]]] = {}
    lists: dict[str, frozenset[str]] = {}
    start = ("", "")
    for top in root:
        name = str(top.get("name"))
        if top.tag == f"{XSD}complexType":
            children[name] = [
                (str(e.get("name")), str(e.get("type"))) for e in top.iter(f"{XSD}element") if e.get("name")
            ]
        elif top.tag == f"{XSD}simpleType":
            lists[name] = frozenset(str(e.get("value")) for e in top.iter(f"{XSD}enumeration"))
        elif top.tag == f"{XSD}element":
            start = name, str(top.get("type"))
    seen = set()
    waiting: list[tuple[Tail, str]] = [((start[0],), start[1])]
    while waiting:
        tail, kind = waiting.pop()
        if (tail, kind) in seen:
            continue
        seen.add((tail, kind))
        for name, child in children.get(kind, ()):
            below = (*tail, name)[-DEPTH:]
            if child in children:
                waiting.append((below, child))
            elif child.startswith("External"):
                yield below, child
            elif lists.get(child):
                yield below, lists[child]


def write_elements(folder: Path, codes: Path) -> None:
    """Write the shortest ends of paths that name one set, in every message of the payment areas alike."""
    sets = read_sets(codes)
    paths = code_elements(folder)
    wanted = {tail for tail, kinds in paths.items() if any(isinstance(kind, str) and kind in sets for kind in kinds)}
    table: dict[str, str] = {}
    for depth in range(1, DEPTH + 1):
        ends: dict[Tail, set[str | frozenset[str]]] = defaultdict(set)
        for tail, kinds in paths.items():
            ends[tail[-depth:]] |= kinds
        for tail in sorted(wanted):
            named = {kind for kind in ends[tail[-depth:]] if isinstance(kind, str)}
            # A closed list of an older version is no contradiction when the set has all its codes.
            closed = {code for kind in ends[tail[-depth:]] if isinstance(kind, frozenset) for code in kind}
            if len(named) == 1 and (name := next(iter(named))) in sets and closed <= set(sets[name]):
                table["/".join(tail[-depth:])] = name
        wanted = {tail for tail in wanted if not any("/".join(tail[-n:]) in table for n in range(1, depth + 1))}
    for tail in sorted(wanted):
        sys.stderr.write(f"no one set: {'/'.join(tail)}\n")
    content = {"schema": "iso20022-code-elements/1", "elements": dict(sorted(table.items()))}
    (FOLDER / "elements.json").write_text(json.dumps(content, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["editions"] and len(sys.argv) == 5:
        write_edition(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    elif sys.argv[1:2] == ["elements"] and len(sys.argv) == 4:
        write_elements(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(__doc__)
