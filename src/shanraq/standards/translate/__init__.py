"""Messages of one standard in another, with an account of every value: FIN (MT), ISO 20022 and ISO 8583.

from shanraq.standards import mt, translate

done = translate.mt103_to_pacs008(mt.read(text), to="pacs.008.001.10")
done.result.to_xml()                      # header and document, valid for their schemas
done.counts()                             # {"kept": 40, "moved": 0, "changed": 1, "dropped": 5}: every value of the input
done.supplied                             # what the output has and the input does not say, and where it is from
translate.pacs008_to_mt103(done.result.document, done.result.header).result     # MT103s

TranslationError names what is missing and the key of `supply` that gives it.
"""

from shanraq.standards.translate.account import Account, Parts, Trace, Translation
from shanraq.standards.translate.cain import cain_of, cain_to_iso8583, iso8583_to_cain
from shanraq.standards.translate.camt053 import camt052_to_mt942, camt053_to_mt940
from shanraq.standards.translate.clearing import card_settlement, totals_settlement
from shanraq.standards.translate.errors import TranslationError
from shanraq.standards.translate.mt103 import mt103_to_pacs008, mt202cov_to_pacs009
from shanraq.standards.translate.mt940 import mt940_to_camt053, mt942_to_camt052
from shanraq.standards.translate.pacs008 import pacs008_to_mt103

__all__ = [
    "Account", "Parts", "Trace", "Translation", "TranslationError", "cain_of", "cain_to_iso8583", "camt052_to_mt942",
    "camt053_to_mt940", "card_settlement", "iso8583_to_cain", "mt103_to_pacs008", "mt202cov_to_pacs009", "mt940_to_camt053",
    "mt942_to_camt052", "pacs008_to_mt103", "totals_settlement",
]  # fmt: skip
