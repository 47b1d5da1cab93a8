"""ISO 20022: read, validate and explain payment messages of any version.

from shanraq.standards import iso20022

root = iso20022.parse(raw)                # Iso20022Error: code, path, line, reason
identity = iso20022.identify(root)        # envelope, header, documents, versions
"""

from shanraq.standards.iso20022.errors import DefinitionError, Finding, Iso20022Error, Layer, Severity
from shanraq.standards.iso20022.identify import (
    Header,
    Identity,
    MessageId,
    Part,
    canonical,
    check_identity,
    cut_out,
    identify,
)
from shanraq.standards.iso20022.parse import Limits, parse
from shanraq.standards.iso20022.paths import path_of

__all__ = [
    "DefinitionError", "Finding", "Header", "Identity", "Iso20022Error", "Layer", "Limits", "MessageId", "Part", "Severity",
    "canonical", "check_identity", "cut_out", "identify", "parse", "path_of",
]  # fmt: skip
