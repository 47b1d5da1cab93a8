"""Mastercard: the Mastercard Gateway (MPGS) REST-JSON API."""

from shanraq.adapters.mastercard.adapter import MastercardAdapter
from shanraq.adapters.mastercard.gateway import MastercardConfiguration
from shanraq.adapters.mastercard.requests import Charge, Session, Token
from shanraq.adapters.mastercard.vault import GatewayRefusedError, GatewaySilentError, KeptCard, Sessions, Tokens

__all__ = [
    "Charge",
    "GatewayRefusedError",
    "GatewaySilentError",
    "KeptCard",
    "MastercardAdapter",
    "MastercardConfiguration",
    "Session",
    "Sessions",
    "Token",
    "Tokens",
]
