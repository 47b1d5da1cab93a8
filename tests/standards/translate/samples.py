"""A payment of our own, to be changed in one place."""

from __future__ import annotations

import datetime as dt
from typing import Any

CREATED = dt.datetime(2026, 11, 23, 6, 0, tzinfo=dt.UTC)


def agent(bic: str) -> dict[str, Any]:
    return {"FinInstnId": {"BICFI": bic}}


def payment(**more: Any) -> dict[str, Any]:
    """Return the content of a pacs.008.001.08; None takes an element of the transfer out."""
    transfer: dict[str, Any] = {
        "PmtId": {"InstrId": "I1", "EndToEndId": "E1"},
        "IntrBkSttlmAmt": {"value": "100.50", "Ccy": "EUR"},
        "IntrBkSttlmDt": "2026-11-23",
        "ChrgBr": "SHAR",
        "InstgAgt": agent("NBRKKZKX"),
        "InstdAgt": agent("DEUTDEFF"),
        "Dbtr": {"Nm": "TEST PAYER"},
        "DbtrAcct": {"Id": {"IBAN": "KZ86125KZT5004100100"}},
        "DbtrAgt": agent("NBRKKZKX"),
        "CdtrAgt": agent("DEUTDEFF"),
        "Cdtr": {"Nm": "TEST PAYEE"},
        "CdtrAcct": {"Id": {"IBAN": "DE89370400440532013000"}},
    }
    transfer = {name: value for name, value in (transfer | more).items() if value is not None}
    head = {"MsgId": "M1", "CreDtTm": "2026-11-23T06:00:00Z", "NbOfTxs": "1", "SttlmInf": {"SttlmMtd": "CLRG"}}
    return {"FIToFICstmrCdtTrf": {"GrpHdr": head, "CdtTrfTxInf": [transfer]}}
