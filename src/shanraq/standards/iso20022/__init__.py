"""ISO 20022: read, validate and explain payment messages of any version.

from shanraq.standards import iso20022

root = iso20022.parse(raw)                # Iso20022Error: code, path, line, reason
identity = iso20022.identify(root)        # envelope, header, documents, versions
definition = iso20022.definition("pacs.008.001.08")     # elements, occurrence, facets, XML schema
report = iso20022.validate(raw)           # findings of all layers
report = iso20022.validate_stream(file)   # the same for files of any length, in 40 MB
converted = iso20022.convert(document, to="pacs.008.001.10")    # and what became of every value
text = iso20022.to_json(document)         # and from_json, without loss: the digest is kept
payment = iso20022.view(document)         # payment.CdtTrfTxInf[0].IntrBkSttlmAmt.value is a Decimal
"""

from shanraq.standards.iso20022.check import check_lexical, validate_schema
from shanraq.standards.iso20022.convert import ConversionError, Converted, Outcome, Trace, convert
from shanraq.standards.iso20022.definition import (
    AnyElement,
    Attribute,
    Choice,
    ComplexType,
    Definition,
    Element,
    Row,
    SimpleType,
)
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
from shanraq.standards.iso20022.json_form import from_json, from_plain, to_json, to_plain
from shanraq.standards.iso20022.library import Library, definition, library
from shanraq.standards.iso20022.parse import Limits, parse
from shanraq.standards.iso20022.paths import path_of
from shanraq.standards.iso20022.schema import read_schema
from shanraq.standards.iso20022.stream import PartRules, register_part_rules, validate_stream
from shanraq.standards.iso20022.validate import Checked, Context, LayerCheck, Report, register_layer, validate
from shanraq.standards.iso20022.view import Amount, View, view

__all__ = [
    "Amount", "AnyElement", "Attribute", "Checked", "Choice", "ComplexType", "Context", "ConversionError", "Converted",
    "Definition", "DefinitionError", "Element", "Finding", "Header", "Identity", "Iso20022Error", "Layer", "LayerCheck",
    "Library", "Limits", "MessageId", "Outcome", "Part", "PartRules", "Report", "Row", "Severity", "SimpleType",
    "Trace", "View", "canonical", "check_identity", "check_lexical", "convert", "cut_out", "definition", "from_json",
    "from_plain", "identify", "library", "parse", "path_of", "read_schema", "register_layer", "register_part_rules",
    "to_json", "to_plain", "validate", "validate_schema", "validate_stream", "view",
]  # fmt: skip
