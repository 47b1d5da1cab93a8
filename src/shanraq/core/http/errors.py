"""Why no answer came: exceptions for callers to map, never shown to users as they are.

HttpError
├── DnsError                    dns_error             no address for the name, or not in time
├── SsrfBlockedError            ssrf_blocked          the address may not be reached
├── RefusedConnectionError      connection_refused
├── UnreachableError            network_unreachable
├── ConnectTimeoutError         connect_timeout       not connected, or no free connection, in time
├── TlsError                    tls_error
│   ├── CertificateExpiredError tls_cert_expired
│   └── NameMismatchError       tls_name_mismatch     the certificate is of another name
├── ResetConnectionError        connection_reset      closed before the head of the response was complete
│   └── StaleConnectionError    connection_reset      ... on a reused connection, before its first byte
├── ReadTimeoutError            read_timeout          no complete head of a response in time
├── ResponseTooLargeError       response_too_large    the head of the response is too long
├── ProtocolError               protocol_error        the answer is not HTTP/1.x
└── ClientClosedError           canceled              this client was closed
"""

from __future__ import annotations

import ssl
from typing import Any, ClassVar, Final

# Codes of OpenSSL's certificate verification (X509_V_ERR_...).
_EXPIRED: Final = 10
_OTHER_NAME: Final = frozenset({62, 64})


class HttpError(Exception):
    """Report that a request got no answer.

    `sent` is False only when certainly not one byte of the request was written; otherwise it may have been processed.
    `remote_address` is the address connected to, None before there was one.
    """

    error_code: ClassVar[str]

    def __init_subclass__(cls, *, error_code: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.error_code = error_code

    def __init__(self, detail: str, *, sent: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        self.sent = sent
        self.remote_address: str | None = None


class DnsError(HttpError, error_code="dns_error"):
    """The name has no address, or none was found in time."""


class SsrfBlockedError(HttpError, error_code="ssrf_blocked"):
    """Every address of the name is forbidden, or the peer is not the address that was chosen."""


class RefusedConnectionError(HttpError, error_code="connection_refused"):
    """Nothing listens at the address."""


class UnreachableError(HttpError, error_code="network_unreachable"):
    """There is no way to the address."""


class ConnectTimeoutError(HttpError, error_code="connect_timeout"):
    """There was no connection in time."""


class TlsError(HttpError, error_code="tls_error"):
    """TLS failed, or did not finish in time.

    In TLS 1.3 a server refuses a client certificate only after the request was written: then `sent` is True.
    """


class CertificateExpiredError(TlsError, error_code="tls_cert_expired"):
    """The server's certificate has run out."""


class NameMismatchError(TlsError, error_code="tls_name_mismatch"):
    """The server's certificate is of another name."""


class ResetConnectionError(HttpError, error_code="connection_reset"):
    """The connection ended before the head of the response was complete."""


class StaleConnectionError(ResetConnectionError, error_code="connection_reset"):
    """A reused connection ended before the first byte of the response: most likely the server had just closed it."""


class ReadTimeoutError(HttpError, error_code="read_timeout"):
    """The head of the response was not complete in time."""


class ResponseTooLargeError(HttpError, error_code="response_too_large"):
    """The head of the response is longer than 64 KiB."""


class ProtocolError(HttpError, error_code="protocol_error"):
    """What came back is not a response of HTTP/1.0 or HTTP/1.1 (RFC 9112)."""


class ClientClosedError(HttpError, error_code="canceled"):
    """The client was closed."""


def tls_failure(error: ssl.SSLError, *, sent: bool) -> TlsError:
    """Return the error that says what TLS complains of."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _EXPIRED:
            return CertificateExpiredError("the certificate has run out", sent=sent)
        if error.verify_code in _OTHER_NAME:
            return NameMismatchError("the certificate is of another name", sent=sent)
        return TlsError(f"the certificate was refused: {error.verify_message}", sent=sent)
    return TlsError(f"TLS failed: {error.reason or type(error).__name__}", sent=sent)
