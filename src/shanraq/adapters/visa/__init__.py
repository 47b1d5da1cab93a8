"""Visa: the CyberSource / Visa Acceptance REST API."""

from shanraq.adapters.visa.adapter import OAuthClient, VisaAdapter, VisaConfiguration
from shanraq.adapters.visa.keys import (
    MerchantKey,
    decryption_key,
    encryption_key,
    read_certificates,
    read_p12,
    request_certificate,
)
from shanraq.adapters.visa.mle import GATEWAY_NAME, Envelopes
from shanraq.adapters.visa.sign import HttpSigner, JwtSigner, Scheme, Signer

__all__ = [
    "GATEWAY_NAME",
    "Envelopes",
    "HttpSigner",
    "JwtSigner",
    "MerchantKey",
    "OAuthClient",
    "Scheme",
    "Signer",
    "VisaAdapter",
    "VisaConfiguration",
    "decryption_key",
    "encryption_key",
    "read_certificates",
    "read_p12",
    "request_certificate",
]
