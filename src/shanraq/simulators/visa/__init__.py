"""A stand-in for Visa Acceptance (CyberSource REST): the same requests, signatures, answers and troubles, on loopback."""

from __future__ import annotations

from shanraq.simulators.visa.credentials import VisaCredentials
from shanraq.simulators.visa.faults import Fault, FaultKind
from shanraq.simulators.visa.route import Verb
from shanraq.simulators.visa.run import TlsPort, run_visa_simulator
from shanraq.simulators.visa.simulator import VisaSimulator

__all__ = ["Fault", "FaultKind", "TlsPort", "Verb", "VisaCredentials", "VisaSimulator", "run_visa_simulator"]
