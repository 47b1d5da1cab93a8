"""Why a payment file, or a report about one, is not given or taken."""

from __future__ import annotations

from shanraq.core.errors import ConflictError, InvalidInputError, NotFoundError, ShanraqError


class PaymentFileNotFoundError(NotFoundError, code="payment_file_not_found", status=404):
    """There is no such payment file, or it is not yours."""


class EmptyFileError(InvalidInputError, code="payment_file_empty", status=400):
    """A payment file has at least one byte."""


class LargeFileError(ShanraqError, code="payment_file_too_large", status=413):
    """The payment file is larger, when it is unpacked, than this server accepts."""


class DuplicateFileError(ConflictError, code="payment_file_duplicate", status=409):
    """The same bytes were uploaded before, under another Idempotency-Key; only a rejected file may come again."""


class UnknownReportError(InvalidInputError, code="unknown_report_version", status=400):
    """Status reports are written as pain.002.001.03 to pain.002.001.15."""
