"""The ISO 8583 gateway: terminals connect, and their messages drive the same payments as the REST API."""

from shanraq.switch.acceptor import Acceptor, Answer, Limits, Peer, Reply, tls_context
from shanraq.switch.gateway import Gateway
from shanraq.switch.reversals import carry_out_reversals

__all__ = ["Acceptor", "Answer", "Gateway", "Limits", "Peer", "Reply", "carry_out_reversals", "tls_context"]
