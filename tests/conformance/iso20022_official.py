"""The official schemas among the conformance data, and definitions of versions that do not come with the platform."""

from __future__ import annotations

import tarfile
from functools import cache

from shanraq.standards import iso20022
from shanraq.standards.iso20022.definition import dump
from tests.conformance.data import conformance_data

ROOT = conformance_data("iso20022")


@cache
def archive(name: str) -> dict[str, bytes]:
    """Return the files of an archive by their names without folders."""
    found = {}
    with tarfile.open(ROOT / name) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                found[member.name.rpartition("/")[2]] = file.read()
    return found


@cache
def schemas() -> dict[str, bytes]:
    """Return the official schemas by message id."""
    files = archive("xsd/iso20022-xsd-868.tar.xz")
    return {name.removesuffix(".xsd"): data for name, data in files.items() if name.endswith(".xsd")}


@cache
def with_schemas(*message_ids: str) -> iso20022.Library:
    """Return the shipped definitions and those of further official schemas, as an operator would add them."""
    return iso20022.Library.packaged(dump([iso20022.read_schema(schemas()[each])]).encode() for each in message_ids)
