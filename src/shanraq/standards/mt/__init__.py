"""FIN: read, check and write MT103, MT202 (COV), MT900, MT910, MT940 and MT942.

from shanraq.standards import mt

message = mt.read(text)                   # MtError: code, tag, line
message.find("32A").parts["amount"]       # "1234,56"
dict(mt.values(message))                  # every value by its path: {"{1:}/address": ..., "32A/amount": ...}
assert mt.write(message) == text
"""

from shanraq.standards.mt.charset import in_x, to_x
from shanraq.standards.mt.check import check, check_field
from shanraq.standards.mt.errors import MtError
from shanraq.standards.mt.formats import amount_fits, calendar_date
from shanraq.standards.mt.message import (
    BasicHeader,
    Field,
    InputHeader,
    Message,
    OutputHeader,
    address_of,
    bic_of,
    field_paths,
    field_values,
    values,
)
from shanraq.standards.mt.read import read, read_all
from shanraq.standards.mt.write import write

__all__ = [
    "BasicHeader", "Field", "InputHeader", "Message", "MtError", "OutputHeader", "address_of", "amount_fits", "bic_of",
    "calendar_date", "check", "check_field", "field_paths", "field_values", "in_x", "read", "read_all", "to_x", "values",
    "write",
]  # fmt: skip
