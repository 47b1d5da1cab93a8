"""Audit: who did what, in hash chains that show every change."""

from shanraq.audit.record import record
from shanraq.audit.verify import verify

__all__ = ["record", "verify"]
