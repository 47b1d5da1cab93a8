"""A clearing system that speaks ISO 20022 over HTTP: signed messages are handed in, answers are read from a mailbox."""

from shanraq.adapters.clearing.adapter import ClearingAdapter, ClearingConfiguration

__all__ = ["ClearingAdapter", "ClearingConfiguration"]
