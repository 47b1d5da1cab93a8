"""A host that speaks ISO 8583 over TCP: networks as data, money that adds up, triggers, faults and a journal."""

from __future__ import annotations

from shanraq.simulators.iso8583.accounts import Standing
from shanraq.simulators.iso8583.configuration import HostConfiguration, HostMac
from shanraq.simulators.iso8583.faults import FAULTS, Fault
from shanraq.simulators.iso8583.journal import read_journal
from shanraq.simulators.iso8583.run import run_iso8583_host, server_tls
from shanraq.simulators.iso8583.schemes import SCHEMES, Result, Scheme, Session
from shanraq.simulators.iso8583.simulator import Iso8583Host
from shanraq.simulators.iso8583.triggers import CARD_TRIGGERS, Rule, load_rules, parse_rules, trigger_card

__all__ = [
    "CARD_TRIGGERS", "FAULTS", "SCHEMES", "Fault", "HostConfiguration", "HostMac", "Iso8583Host", "Result", "Rule", "Scheme",
    "Session", "Standing", "load_rules", "parse_rules", "read_journal", "run_iso8583_host", "server_tls", "trigger_card",
]  # fmt: skip
