"""ISO 20022: read, validate and explain payment messages of any version.

from shanraq.standards import iso20022

root = iso20022.parse(raw)                # Iso20022Error: code, path, line, reason
identity = iso20022.identify(root)        # envelope, header, documents, versions
definition = iso20022.definition("pacs.008.001.08")     # elements, occurrence, facets, XML schema
report = iso20022.validate(raw, profile="kz")            # findings of all layers, under a usage profile
report = iso20022.validate_stream(file)   # the same for files of any length, in 40 MB; rules as registered for parts
extraction = iso20022.extract_stream(file) # batches of payments as records, each with its findings; then .report
converted = iso20022.convert(document, to="pacs.008.001.10")    # and what became of every value
text = iso20022.to_json(document)         # and from_json, without loss: the digest is kept
payment = iso20022.view(document)         # payment.CdtTrfTxInf[0].IntrBkSttlmAmt.value is a Decimal
"""

from shanraq.standards.iso20022.check import check_lexical
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
from shanraq.standards.iso20022.extract import Batch, Extraction, extract_stream
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
from shanraq.standards.iso20022.instructions import BlockHead, Instruction, MessageHead, Party
from shanraq.standards.iso20022.json_form import from_json, from_plain, to_json, to_plain
from shanraq.standards.iso20022.library import Library, definition, library
from shanraq.standards.iso20022.parse import Limits, parse
from shanraq.standards.iso20022.parts import PartRules, validate_schema
from shanraq.standards.iso20022.paths import path_of
from shanraq.standards.iso20022.profiles import Profile, UnknownProfileError, load_profile, profile_names
from shanraq.standards.iso20022.rules import Rule, RuleCheck, all_rules, check_rule_layers, check_rules, rule_layer
from shanraq.standards.iso20022.rules.parts import check_part_rules, rule_parts
from shanraq.standards.iso20022.schema import read_schema
from shanraq.standards.iso20022.store import EarlierMessage, EarlierTransaction, MemoryStore, Store, record
from shanraq.standards.iso20022.stream import register_part_rules, validate_stream
from shanraq.standards.iso20022.validate import Checked, Context, LayerCheck, Report, register_layer, validate
from shanraq.standards.iso20022.view import Amount, View, view

__all__ = [
    "Amount", "AnyElement", "Attribute", "Batch", "BlockHead", "Checked", "Choice", "ComplexType", "Context",
    "ConversionError", "Converted", "Definition", "DefinitionError", "EarlierMessage", "EarlierTransaction",
    "Element", "Extraction", "Finding", "Header", "Identity", "Instruction", "Iso20022Error", "Layer", "LayerCheck",
    "Library", "Limits", "MemoryStore", "MessageHead", "MessageId", "Outcome", "Part", "PartRules", "Party",
    "Profile", "Report", "Row", "Rule", "RuleCheck", "Severity", "SimpleType", "Store", "Trace",
    "UnknownProfileError", "View", "all_rules", "canonical", "check_identity", "check_lexical", "check_rules",
    "convert", "cut_out", "definition", "extract_stream", "from_json", "from_plain", "identify", "library",
    "load_profile", "parse", "path_of", "profile_names", "read_schema", "record", "register_layer",
    "register_part_rules", "rule_layer", "rule_parts", "to_json", "to_plain", "validate", "validate_schema", "validate_stream",
    "view",
]  # fmt: skip

register_layer(check_rule_layers)
register_part_rules(check_part_rules)
