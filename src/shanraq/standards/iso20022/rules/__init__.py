"""The rules that no schema can hold: identifiers, codes, sums, dates, levels, usage profiles and earlier messages.

findings = check_rules(document, header=header, profile=load_profile("kz"), as_of=now, store=store)
for rule in all_rules(): ...                    # code, layer, severity, messages, title
"""

from shanraq.standards.iso20022.rules import elements, headers, orders, originals, statements, statuses, totals
from shanraq.standards.iso20022.rules.check import RuleCheck, check_rules
from shanraq.standards.iso20022.rules.layer import check_rule_layers, remember, rule_layer
from shanraq.standards.iso20022.rules.registry import Fault, Rule, Scope, all_rules

__all__ = [
    "Fault",
    "Rule",
    "RuleCheck",
    "Scope",
    "all_rules",
    "check_rule_layers",
    "check_rules",
    "elements",
    "headers",
    "orders",
    "originals",
    "remember",
    "rule_layer",
    "statements",
    "statuses",
    "totals",
]  # fmt: skip
