"""Message-level encryption: requests that arrive encrypted to the gateway, replies encrypted to the merchant.

An encrypted body is `{"encryptedRequest": "<compact JWE>"}`, an encrypted reply `{"encryptedResponse": "<compact JWE>"}`;
both are RSA-OAEP-256 with A256GCM, and an error is encrypted like any reply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from shanraq.simulators.serve import Reply, Request
from shanraq.simulators.visa.credentials import (
    VisaCredentials,
    certificate_in,
    certificates_in,
    rsa_private_key_in,
    rsa_public_key_of,
    serial_number_of,
)
from shanraq.simulators.visa.model import Refusal
from shanraq.simulators.visa.verify import Identity, Scheme
from shanraq.standards import jose

# The common name under which the gateway's certificate is found among others.
GATEWAY_NAME: Final = "CyberSource_SJC_US"

# Compared with a slash at the end: tokenized-cards is another operation than tokenize.
_MANDATORY: Final = ("/tms/v2/tokenize/", "/pts/v2/payouts/fx-rates/", "/pts/v2/payouts/transaction-query/")
_NEVER: Final = (
    "/bin/",
    "/flex/",
    "/kms/",
    "/microform/",
    "/notification-subscriptions/",
    "/pts/v1/transaction-batch",
    "/reporting/",
    "/risk/v1/address-verifications",
    "/risk/v1/decisions",
    "/risk/v1/export-compliance-inquiries",
    "/risk/v1/lists/",
)

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class Envelopes:
    """Opens and seals the bodies of one gateway; `clock` gives seconds. Without keys of a kind that kind is not offered.

    Raises ValueError for credentials that cannot serve.
    """

    def __init__(self, credentials: VisaCredentials, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._request_keys = _request_keys(credentials)
        self._response_keys: dict[tuple[str, str], jose.EncryptionKey] = {}
        if credentials.resp_mle_kid:
            name = "mle_response_cert"
            certificate = certificate_in(name, credentials.mle_response_cert, credentials.merchant_id)
            key = jose.EncryptionKey(credentials.resp_mle_kid, rsa_public_key_of(name, certificate))
            self._response_keys[credentials.merchant_id, credentials.resp_mle_kid] = key

    def open(self, identity: Identity, request: Request) -> Request:
        """Return the request with its body in the clear; raises a Refusal (400).

        Refused are a body that cannot be decrypted, one in the clear where encryption is mandatory, and an encrypted one
        where it is not offered: for some operations, and with HTTP Signature.
        """
        token = _encrypted_request(request.body)
        path = request.target.partition("?")[0].removesuffix("/") + "/"
        if token is None:
            if request.body and path.startswith(_MANDATORY):
                raise Refusal("MISSING_FIELD", field="encryptedRequest", message="The request must be encrypted")
            return request
        if identity.scheme is Scheme.HTTP_SIGNATURE or path.startswith(_NEVER):
            raise Refusal("INVALID_DATA", field="encryptedRequest", message="An encrypted request is not offered here")
        try:
            return replace(request, body=jose.decrypt(token, self._request_keys.get))
        except jose.JoseError:
            # Whatever went wrong looks the same from outside.
            raise Refusal("INVALID_DATA", field="encryptedRequest") from None

    def sealer(self, identity: Identity) -> Callable[[Reply], Reply]:
        """Return what is done to a reply before it is sent; raises a Refusal (400) for a key id that is not known."""
        if not identity.response_key_id:
            return _in_the_clear
        key = self._response_keys.get((identity.merchant_id, identity.response_key_id))
        if key is None:
            raise Refusal("INVALID_DATA", field="v-c-response-mle-kid", message="The key of the response is not known")
        return lambda reply: self._seal(reply, key)

    def _seal(self, reply: Reply, key: jose.EncryptionKey) -> Reply:
        if not reply.body:
            return reply
        token = jose.encrypt(reply.body, key, iat=int(self._clock()))
        return replace(reply, body=_encode({"encryptedResponse": token}))


def _in_the_clear(reply: Reply) -> Reply:
    return reply


def _request_keys(credentials: VisaCredentials) -> dict[str, jose.DecryptionKey]:
    if not credentials.mle_request_key:
        return {}
    private_key = rsa_private_key_in("mle_request_key", credentials.mle_request_key)
    kid = credentials.mle_serial
    if credentials.mle_request_cert:
        name = "mle_request_cert"
        certificates = certificates_in(name, credentials.mle_request_cert)
        fitting = [one for one in certificates if one.public_key() == private_key.public_key()]
        if not fitting:
            raise ValueError("credentials: mle_request_cert and mle_request_key are not of one pair")
        kids = {serial_number_of(one) for one in fitting} - {""}
        if kids and kid and kid not in kids:
            raise ValueError(f"credentials: the subject of mle_request_cert needs the serialNumber {kid}")
        kid = kid or min(kids, default="")
    if not kid:
        raise ValueError("credentials: mle_request_key needs mle_serial")
    return {kid: jose.DecryptionKey(private_key)}


def _encrypted_request(body: bytes) -> str | None:
    """Return the token of an encrypted body, None for another body; raises a Refusal for one that is neither."""
    if b'"encryptedRequest"' not in body:
        return None
    try:
        members = _decode(body)
        if "encryptedRequest" not in members:
            return None
        if len(members) == 1:
            return _decode_text(members["encryptedRequest"])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    raise Refusal("INVALID_DATA", field="encryptedRequest")
