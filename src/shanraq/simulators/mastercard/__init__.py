"""The Mastercard Gateway (MPGS, REST-JSON) as a program: real authentication, state, triggers, faults."""

from shanraq.simulators.mastercard.credentials import MastercardCredentials, obtain
from shanraq.simulators.mastercard.faults import Fault, FaultKind
from shanraq.simulators.mastercard.run import run_mastercard_simulator
from shanraq.simulators.mastercard.simulator import MastercardSimulator

__all__ = ["Fault", "FaultKind", "MastercardCredentials", "MastercardSimulator", "obtain", "run_mastercard_simulator"]
