"""The message definitions at hand: those that come with the library, and those an operator added."""

from __future__ import annotations

import lzma
import threading
from collections import OrderedDict
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Final

from lxml import etree

from shanraq.standards.iso20022.definition import Collection, Definition, Element
from shanraq.standards.iso20022.errors import DefinitionError, Iso20022Error
from shanraq.standards.iso20022.identify import MessageId

_FILE: Final = "data/definitions.xz"
_COMPILED: Final = 64  # schemas kept ready, 1 to 5 MB each
_NAMED_VERSIONS: Final = 30


class Library:
    """Definitions by message id; safe for threads. Compiled schemas are kept, the longest unused one goes first."""

    def __init__(self, texts: Iterable[bytes] = ()) -> None:
        self._collections = [Collection.from_text(text) for text in texts]
        self._definitions: dict[str, Definition] = {}
        self._compiled: OrderedDict[str, etree.XMLSchema] = OrderedDict()
        self._lock = threading.RLock()

    @classmethod
    def packaged(cls, added: Iterable[bytes] = ()) -> Library:
        """Return the definitions of the package, and texts of added ones; raise DefinitionError as `add`."""
        library = cls([_packaged_text()])
        for text in added:
            library.add(text)
        return library

    def add(self, text: bytes) -> tuple[str, ...]:
        """Take in a text of definitions, and return their ids.

        Raises DefinitionError, code `already_there` when one is known with other content; then none is taken in.
        """
        collection = Collection.from_text(text)
        with self._lock:
            for message_id in collection.heads:
                self.check_new(collection.definition(message_id))
            self._collections.append(collection)
        return tuple(collection.heads)

    def check_new(self, definition: Definition) -> bool:
        """Tell whether a definition is new, False for the same content; raise DefinitionError for another content of its id."""
        known = self.find(definition.message_id)
        if known is None:
            return True
        if known.fingerprint != definition.fingerprint:
            raise DefinitionError(
                "already_there", f"{definition.message_id} is known with other content, which is not replaced"
            )
        return False

    def ids(self) -> tuple[str, ...]:
        """Return all message ids, sorted."""
        return tuple(sorted({message_id for collection in self._collections for message_id in collection.heads}))

    def versions(self, kind: str) -> tuple[str, ...]:
        """Return the ids that share area and message with a kind such as pacs.008."""
        return tuple(message_id for message_id in self.ids() if message_id.startswith(f"{kind}."))

    def find(self, message_id: MessageId | str) -> Definition | None:
        """Return a definition, None when there is none."""
        name = str(message_id)
        with self._lock:
            if (known := self._definitions.get(name)) is not None:
                return known
            for collection in self._collections:
                if name in collection.heads:
                    definition = self._definitions[name] = collection.definition(name)
                    return definition
        return None

    def definition(self, message_id: MessageId | str) -> Definition:
        """Return a definition; raise Iso20022Error, code `unknown_version` or `unknown_message`, naming what is known."""
        definition = self.find(message_id)
        if definition is not None:
            return definition
        name = str(message_id)[:64]
        kind = name[:8]
        if known := self.versions(kind):
            shown = ", ".join(known[-_NAMED_VERSIONS:])
            raise Iso20022Error(
                "unknown_version", "", 0, f"there is no definition of {name}; of {kind} there are {shown}"
            )
        raise Iso20022Error("unknown_message", "", 0, f"there is no definition of {name} nor of another {kind}")

    def schema(self, message_id: MessageId | str, parts: tuple[Element, ...] = ()) -> etree.XMLSchema:
        """Return the compiled schema of a message, with `parts` as Definition.xsd has them; raises as `definition`."""
        definition = self.definition(message_id)
        key = "/".join((str(message_id), *(f"{part.name}:{part.type.name}" for part in parts)))
        with self._lock:
            compiled = self._compiled.pop(key, None) or definition.compile(parts)
            self._compiled[key] = compiled
            while len(self._compiled) > _COMPILED:
                self._compiled.popitem(last=False)
        return compiled


@cache
def library() -> Library:
    """Return the definitions of the package alone; one for all who ask."""
    return Library.packaged()


def definition(message_id: MessageId | str) -> Definition:
    """Return a definition of the package; raises as Library.definition."""
    return library().definition(message_id)


@cache
def _packaged_text() -> bytes:
    return lzma.decompress((resources.files(__package__ or "") / _FILE).read_bytes())
