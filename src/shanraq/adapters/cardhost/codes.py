"""What the response codes of a host mean to us; data only.

Response codes (DE39) of ISO 8583:1987, two characters, and action codes of 1993, three digits. A code in none of these tables
approves nothing: it is a soft refusal without a better word.
"""

from __future__ import annotations

from typing import Final

from shanraq.payments.adapter import Advice, DeclineClass, Reason

_HARD, _SOFT, _FRAUD = DeclineClass.HARD, DeclineClass.SOFT, DeclineClass.FRAUD
_TECHNICAL, _CONFIGURATION = DeclineClass.TECHNICAL, DeclineClass.CONFIGURATION
_AUTHENTICATION = DeclineClass.AUTHENTICATION_REQUIRED
_STOP, _LATER, _OTHER = Advice.DO_NOT_RETRY, Advice.RETRY_LATER, Advice.RETRY_OTHER_PROCESSOR
_STEP_UP, _UPDATE, _ASK = Advice.STEP_UP_3DS, Advice.UPDATE_CARD, Advice.ASK_CUSTOMER

# "08" asks for identification at a counter, "16" for a new track 3: approvals all the same.
APPROVED: Final = frozenset(("00", "08", "11", "16", "000", "001", "003", "004", "005", "007"))
PARTIAL: Final = frozenset(("10", "002", "006"))
# Advices and reversals are acknowledged rather than approved (1993: 400, 800, 900, 901).
ACCEPTED: Final = APPROVED | {"400", "800", "900", "901"}
# The host does not know either, or not yet: the outcome is unknown, never a decline.
UNDECIDED: Final = frozenset(("09", "68", "923", "911"))
DUPLICATE: Final = frozenset(("94", "913"))
ABSENT: Final = frozenset(("25", "914"))
# A failure of the moment: what has to be delivered is delivered later.
PASSING: Final = frozenset(("06", "09", "19", "22", "68", "90", "91", "96")) | frozenset(
    ("903", "906", "907", "909", "910", "911", "912", "923")
)

_REFER = ("do_not_honor", _SOFT, _ASK)
_REFUSED = ("do_not_honor", _SOFT, _LATER)
_STOLEN = ("stolen_or_lost", _HARD, _STOP)
_FORBIDDEN = ("not_permitted", _HARD, _STOP)
_OURS = ("merchant_config", _CONFIGURATION, _STOP)
_NO_CARD = ("invalid_account", _HARD, _UPDATE)
_SUSPECTED = ("risk_rejected", _FRAUD, _STOP)
_LIMIT = ("limit_exceeded", _SOFT, _LATER)
_DOWN = ("processor_unavailable", _TECHNICAL, _OTHER)
_ISSUER_DOWN = ("issuer_unavailable", _TECHNICAL, _LATER)
_AMOUNT = ("invalid_amount", _CONFIGURATION, _STOP)
_EXPIRED = ("expired_card", _HARD, _UPDATE)
_FUNDS = ("insufficient_funds", _SOFT, _LATER)
_NOT_SUPPORTED = ("card_not_supported", _CONFIGURATION, _OTHER)
_STATE = ("not_permitted", _CONFIGURATION, _STOP)
_PIN = ("authentication_failed", _AUTHENTICATION, _ASK)

REASONS: Final[dict[str, tuple[str, DeclineClass, Advice]]] = {
    "01": _REFER, "02": _REFER, "03": _OURS, "04": _STOLEN, "05": _REFUSED, "06": _DOWN, "07": _STOLEN, "12": _STATE,
    "13": _AMOUNT, "14": _NO_CARD, "15": _NOT_SUPPORTED, "17": _REFER, "18": _REFER, "19": _DOWN, "20": _DOWN, "21": _STATE,
    "22": _DOWN, "23": _OURS, "24": _OURS, "25": _STATE, "30": _OURS, "31": _NOT_SUPPORTED, "33": _EXPIRED, "34": _SUSPECTED,
    "35": _STOLEN, "36": _FORBIDDEN, "37": _STOLEN, "38": _LIMIT, "39": _NO_CARD, "40": _NOT_SUPPORTED, "41": _STOLEN,
    "42": _NO_CARD, "43": _STOLEN, "44": _NO_CARD, "51": _FUNDS, "52": _NO_CARD, "53": _NO_CARD, "54": _EXPIRED, "55": _PIN,
    "56": _NO_CARD, "57": _FORBIDDEN, "58": _OURS, "59": _SUSPECTED, "60": _REFER, "61": _LIMIT, "62": _FORBIDDEN,
    "63": _SUSPECTED, "64": _AMOUNT, "65": _LIMIT, "66": _SUSPECTED, "67": _STOLEN, "75": _LIMIT, "90": _DOWN,
    "91": _ISSUER_DOWN, "92": _NOT_SUPPORTED, "93": _FORBIDDEN, "94": ("duplicate", _CONFIGURATION, _STOP), "95": _OURS,
    "96": _DOWN,
    "1A": ("authentication_required", _AUTHENTICATION, _STEP_UP),
    "82": ("cvv_mismatch", _SOFT, _ASK), "N7": ("cvv_mismatch", _SOFT, _ASK),
    "100": _REFUSED, "101": _EXPIRED, "102": _SUSPECTED, "103": _REFER, "104": _FORBIDDEN, "105": _SUSPECTED, "106": _LIMIT,
    "107": _REFER, "108": _REFER, "109": _OURS, "110": _AMOUNT, "111": _NO_CARD, "112": _PIN, "113": _OURS, "114": _NO_CARD,
    "115": _NOT_SUPPORTED, "116": _FUNDS, "117": _PIN, "118": _NO_CARD, "119": _FORBIDDEN, "120": _OURS, "121": _LIMIT,
    "122": _SUSPECTED, "123": _LIMIT, "124": _FORBIDDEN, "125": _EXPIRED, "126": _PIN, "127": _PIN, "128": _DOWN,
    "129": _SUSPECTED, "200": _STOLEN, "201": _EXPIRED, "202": _SUSPECTED, "203": _STOLEN, "204": _FORBIDDEN, "205": _SUSPECTED,
    "206": _LIMIT, "207": _STOLEN, "208": _STOLEN, "209": _STOLEN, "210": _SUSPECTED, "902": _STATE, "903": _DOWN, "904": _OURS,
    "905": _NOT_SUPPORTED, "906": _DOWN, "907": _ISSUER_DOWN, "908": _NOT_SUPPORTED, "909": _DOWN, "910": _ISSUER_DOWN,
    "911": _ISSUER_DOWN, "912": _ISSUER_DOWN, "913": ("duplicate", _CONFIGURATION, _STOP), "914": _STATE, "916": _OURS,
    "917": _OURS, "918": _OURS, "919": _OURS, "920": _DOWN, "921": _OURS, "922": _OURS, "950": _OURS,
}  # fmt: skip

# The host did not decide about the card: it refused our message, or us.
NOT_DECIDED: Final = frozenset(("03", "12", "20", "21", "25", "30", "40", "58", "92", "94")) | frozenset(
    ("109", "115", "120", "902", "904", "905", "908", "913", "914", "916", "917", "918", "919", "921", "922", "950")
)


def reason_of(code: str) -> Reason:
    """Return what a response or action code means; an unknown one is a soft refusal without a better word."""
    word, kind, advice = REASONS.get(code, _REFER)
    return Reason(word, kind, advice, code)


UNREACHABLE: Final = Reason("processor_unavailable", _TECHNICAL, _OTHER, "not reached")
UNWRITABLE: Final = Reason(*_OURS, "the request does not fit the layout")
NO_SUCH_TARGET: Final = Reason(*_STATE, "not found")
ALREADY_REVERSED: Final = Reason(*_STATE, "AUTH_ALREADY_REVERSED")
CARD_FORGOTTEN: Final = Reason(*_STATE, "the card number is not kept any more")
TAKEN_BACK: Final = Reason(*_STATE, "taken back before it was sent")
TOO_LARGE: Final = Reason(*_AMOUNT, "more than twelve digits")
