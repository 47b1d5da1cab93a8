"""Shanraq: a self-hosted fintech integration platform."""
