"""Settlement: what payment systems paid out, matched with payments and the ledger; disputes.

settle        the worker's round: fetch the reports that are due, match and post their lines, read disputes
fetch_day     the same for one day now
list_days, day_figures, list_lines, list_exceptions, find_exception     for operators
propose, approve, reject                                                two operators decide about an exception
payment_settlement, list_disputes, find_dispute, accept_dispute, represent_dispute      for partners
"""

from shanraq.settlement.disputes import (
    SEALED,
    Evidence,
    accept_dispute,
    export_evidence,
    find_dispute,
    list_disputes,
    represent_dispute,
)
from shanraq.settlement.errors import (
    DisputeClosedError,
    DisputeNotFoundError,
    DisputeOverdueError,
    EvidenceNotFoundError,
    ExceptionDecidedError,
    ResolutionIncompleteError,
    ResolutionRefusedError,
    SameOperatorError,
    SettlementDayNotFoundError,
    SettlementExceptionNotFoundError,
)
from shanraq.settlement.fetch import fetch_day, settle
from shanraq.settlement.find import (
    DayFigures,
    day_figures,
    find_exception,
    list_days,
    list_exceptions,
    list_lines,
    open_exceptions,
    payment_settlement,
)
from shanraq.settlement.model import (
    BothSides,
    DayStatus,
    Dispute,
    DisputeResponse,
    EvidenceItem,
    ExceptionKind,
    ExceptionStatus,
    FeeRule,
    LineState,
    NewResolution,
    PaymentSettlement,
    Representment,
    ResolutionAction,
    SettledDay,
    SettlementDay,
    SettlementException,
    Sources,
    StoredLine,
    Terms,
    Totals,
)
from shanraq.settlement.port import (
    DisputeNotice,
    DisputeStage,
    LineKind,
    SettlementLine,
    SettlementReport,
    SettlementUnreadableError,
    Settles,
)
from shanraq.settlement.resolve import approve, propose, reject
from shanraq.settlement.verify import verify

__all__ = [
    "SEALED", "BothSides", "DayFigures", "DayStatus", "Dispute", "DisputeClosedError", "DisputeNotFoundError", "DisputeNotice",
    "DisputeOverdueError", "DisputeResponse", "DisputeStage", "Evidence", "EvidenceItem", "EvidenceNotFoundError",
    "ExceptionDecidedError", "ExceptionKind", "ExceptionStatus", "FeeRule", "LineKind", "LineState", "NewResolution",
    "PaymentSettlement", "Representment", "ResolutionAction", "ResolutionIncompleteError", "ResolutionRefusedError",
    "SameOperatorError", "SettledDay", "SettlementDay", "SettlementDayNotFoundError", "SettlementException",
    "SettlementExceptionNotFoundError", "SettlementLine", "SettlementReport", "SettlementUnreadableError", "Settles",
    "Sources", "StoredLine", "Terms", "Totals", "accept_dispute", "approve", "day_figures", "export_evidence", "fetch_day",
    "find_dispute", "find_exception", "list_days", "list_disputes", "list_exceptions", "list_lines", "open_exceptions",
    "payment_settlement", "propose", "reject", "represent_dispute", "settle",
    "verify",
]  # fmt: skip
