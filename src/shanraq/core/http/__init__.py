"""The outgoing HTTP/1.1 client: deadlines, TLS, a pool of connections for each origin, and nothing implicit.

    client = HttpClient(tls=context)
    response = await client.send(Request("POST", url, headers, body), timeout_seconds=15)
    match response.status: ...

It follows no redirect, keeps no cookie, reads no proxy from the environment, decodes no content coding, and never sends
a request twice unless the request allows it. An answer with any status is a `Response`; everything else is an
`HttpError`, whose `sent` is False only when certainly not one byte of the request was written.
"""

from shanraq.core.http.client import HttpClient
from shanraq.core.http.connect import Address, Connector, Resolver, SystemResolver, TcpConnector, unmapped
from shanraq.core.http.errors import (
    CertificateExpiredError,
    ClientClosedError,
    ConnectTimeoutError,
    DnsError,
    HttpError,
    NameMismatchError,
    ProtocolError,
    ReadTimeoutError,
    RefusedConnectionError,
    ResetConnectionError,
    ResponseTooLargeError,
    SsrfBlockedError,
    TlsError,
    UnreachableError,
)
from shanraq.core.http.message import (
    Headers,
    InvalidRequestError,
    Request,
    Response,
    Target,
    Timings,
    check_headers,
    parse_url,
)

__all__ = [
    "Address",
    "CertificateExpiredError",
    "ClientClosedError",
    "ConnectTimeoutError",
    "Connector",
    "DnsError",
    "Headers",
    "HttpClient",
    "HttpError",
    "InvalidRequestError",
    "NameMismatchError",
    "ProtocolError",
    "ReadTimeoutError",
    "RefusedConnectionError",
    "Request",
    "ResetConnectionError",
    "Resolver",
    "Response",
    "ResponseTooLargeError",
    "SsrfBlockedError",
    "SystemResolver",
    "Target",
    "TcpConnector",
    "Timings",
    "TlsError",
    "UnreachableError",
    "check_headers",
    "parse_url",
    "unmapped",
]
