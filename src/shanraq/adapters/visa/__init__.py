"""Visa: the CyberSource / Visa Acceptance REST API."""

from shanraq.adapters.visa.adapter import VisaAdapter, VisaConfiguration

__all__ = ["VisaAdapter", "VisaConfiguration"]
