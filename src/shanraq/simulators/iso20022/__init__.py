"""A clearing system that pretends: takes signed pacs.008 and pacs.009, answers, returns, recalls, writes statements.

async with ClearingSimulator(ClearingConfiguration()) as clearing:
    clearing.base_url, clearing.credentials
"""

from shanraq.simulators.iso20022.configuration import ClearingConfiguration
from shanraq.simulators.iso20022.credentials import ClearingCredentials, Member
from shanraq.simulators.iso20022.run import clearing_credentials, run_clearing_simulator
from shanraq.simulators.iso20022.simulator import ClearingSimulator

__all__ = [
    "ClearingConfiguration",
    "ClearingCredentials",
    "ClearingSimulator",
    "Member",
    "clearing_credentials",
    "run_clearing_simulator",
]
