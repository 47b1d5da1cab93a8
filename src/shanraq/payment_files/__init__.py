"""Payment files: a partner's pain.001, validated, turned into credit transfers, reported on."""

from shanraq.payment_files.advance import LEASE, advance
from shanraq.payment_files.errors import (
    DuplicateFileError,
    EmptyFileError,
    LargeFileError,
    PaymentFileNotFoundError,
    UnknownReportError,
)
from shanraq.payment_files.find import find_file, list_files, transfers_of_file
from shanraq.payment_files.model import (
    PREFIX,
    FileFinding,
    FileProfile,
    FileStatus,
    NewPaymentFile,
    PaymentFile,
    Progress,
)
from shanraq.payment_files.pieces import SEALED
from shanraq.payment_files.receive import LIMIT_BYTES, OPERATION, receive, sweep
from shanraq.payment_files.status_report import VERSIONS, Detail, Report, default_version, report

__all__ = [
    "LEASE", "LIMIT_BYTES", "OPERATION", "PREFIX", "SEALED", "VERSIONS", "Detail", "DuplicateFileError",
    "EmptyFileError", "FileFinding", "FileProfile", "FileStatus", "LargeFileError", "NewPaymentFile", "PaymentFile",
    "PaymentFileNotFoundError", "Progress", "Report", "UnknownReportError", "advance", "default_version", "find_file",
    "list_files", "receive", "report", "sweep", "transfers_of_file",
]  # fmt: skip
