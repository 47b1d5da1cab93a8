"""The clearing system itself: what it does with a message, as changes of its books. It knows no network and no signatures."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from lxml import etree

from shanraq.simulators.iso20022.books import Books, Closing, Due, Payment
from shanraq.simulators.iso20022.configuration import ClearingConfiguration
from shanraq.simulators.iso20022.read import Named, message_id_of, named_in, payments_of, reports_wanted
from shanraq.simulators.iso20022.refusals import RefusedError
from shanraq.simulators.iso20022.triggers import Trigger, Word
from shanraq.simulators.iso20022.write import (
    CANCELLATION,
    INTRADAY,
    RESOLUTION,
    RETURN,
    STATEMENT,
    STATUS,
    TRANSFER,
    Incoming,
    Told,
    Writer,
)
from shanraq.standards.iso20022.codes import is_code
from shanraq.standards.iso20022.identifiers import same_bic

FINAL: Final = frozenset({"ACSC", "RJCT"})
_WAITING: Final = frozenset({"PDNG", "ACSP"})
_BATCH: Final = 2000
OTHER_BANK: Final = "HSBKKZKX"
"""Who pays to participants, when the control interface asks for it."""

Deliver = Callable[[str, str, str, bytes], None]
"""Sign a message and put it into a mailbox: participant, business message identifier, definition, envelope."""


_Original = tuple[str, str]
"""A message that a report speaks of: its identifier and its definition."""


class UnknownPaymentError(LookupError):
    """There is no such payment."""


class Clearing:
    """The system's rules over its books; every call is one transaction of them. `deliver` is called within it."""

    def __init__(self, configuration: ClearingConfiguration, books: Books, deliver: Deliver) -> None:
        self._configuration = configuration
        self._books = books
        self._deliver = deliver
        self._writer = Writer(configuration.credentials.clearing.bic, configuration.system)
        self._ahead_seconds = float(books.setting("ahead_seconds", "0"))
        self._number = int(books.setting("number", "0"))
        self._instance = books.setting("instance")

    # The clock.

    @property
    def now_seconds(self) -> float:
        """Return the time of the simulator's clock."""
        return time.time() + self._ahead_seconds

    @property
    def day(self) -> str:
        """Return the day of the simulator's clock."""
        return datetime.fromtimestamp(self.now_seconds, UTC).date().isoformat()

    @property
    def now(self) -> datetime:
        """Return the moment messages are written and signed at: participants do not believe in the future."""
        return datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Let the clock go ahead."""
        self._ahead_seconds += seconds
        self._books.set("ahead_seconds", str(self._ahead_seconds))

    # Messages.

    def take(self, sender: str, business_id: str, definition: str, digest: bytes, document: etree._Element) -> bool:
        """Act on a message once; False when it was taken before. Raises RefusedError, and then nothing has changed."""
        with self._books.transaction():
            known = self._books.digest_of(sender, business_id)
            if known is not None:
                if known != digest:
                    raise RefusedError(409, "duplicate_message_id", "another message had this identifier")
                return False
            self._books.receive(sender, business_id, definition, digest, self.now_seconds)
            match definition[:8]:
                case "pacs.008" | "pacs.009":
                    self._transfers(sender, definition, document)
                case "pacs.028":
                    self._status_requests(sender, document)
                case "camt.056":
                    self._recalls(sender, document)
                case "pacs.004":
                    self._returns(sender, definition, document)
                case "pacs.002" | "camt.029":
                    self._answers(sender, definition, document)
                case "camt.060":
                    self._reports(sender, document)
        return True

    def carry_on(self) -> int:
        """Do what is due by now; returns how much there was."""
        if not self._books.has_due(self.now_seconds):
            return 0
        with self._books.transaction():
            released = self._books.release_until(self.now_seconds)
            dues = self._books.take_due(self.now_seconds, _BATCH)
            settled: dict[tuple[str, str, str], list[Payment]] = defaultdict(list)
            for due in dues:
                payment = self._books.payment(due.payment)
                match due.kind:
                    case "settle" if payment.status not in FINAL:
                        payment = self._settle(payment)
                        settled[payment.participant, payment.message_id, payment.definition].append(payment)
                    case "return" if payment.status == "ACSC" and not payment.returned:
                        self._return(payment, due.reason)
                    case "reject_recall":
                        self._resolve(payment.participant, _named(payment, due.reason), "RJCR", "NOAS")
            for (participant, message_id, definition), payments in settled.items():
                told = [Told(one, one.status, one.reason) for one in payments]
                self._tell(participant, (message_id, definition), "", told)
        return len(dues) + released

    def _transfers(self, sender: str, definition: str, document: etree._Element) -> None:
        payments = payments_of(document, definition, sender, self.day)
        now = self.now_seconds
        triggers = [Trigger.of(payment.end_to_end_id) for payment in payments]
        written = self._books.add(self._decided(payments, triggers))
        settled = [(payment, -payment.amount) for payment in written if payment.status == "ACSC"]
        self._books.book_all(settled, "payment", self.day, now)
        dues: dict[float, list[Due]] = defaultdict(list)
        for payment, trigger in zip(written, triggers, strict=True):
            if payment.status in _WAITING and trigger.word is not Word.UNKN:
                waits = self._configuration.cycle_seconds if trigger.word is Word.NONE else 0
                dues[now + (waits or self._configuration.pending_seconds)].append(Due("settle", payment.id, ""))
            if trigger.word is Word.RTRN and payment.status == "ACSC":
                dues[now + self._configuration.pending_seconds].append(Due("return", payment.id, trigger.reason))
        for at, some in dues.items():
            self._books.plan(at, some)
        told = [Told(payment, payment.status, payment.reason) for payment in written if not payment.silent]
        if told:
            statuses = {one.status for one in told}
            group = "" if len(told) < len(payments) else statuses.pop() if len(statuses) == 1 else "PART"
            self._tell(sender, (payments[0].message_id, definition), group, told)

    def _decided(self, payments: Sequence[Payment], triggers: Sequence[Trigger]) -> Iterator[Payment]:
        """Yield payments with what becomes of them at once; each takes of what the ones before it left."""
        paid = self._books.paid_uetrs([payment.uetr for payment in payments if payment.uetr])
        available = {
            currency: self._books.available(payments[0].participant, currency)
            for currency in self._configuration.currencies
        }
        for payment, trigger in zip(payments, triggers, strict=True):
            reason = self._refusal(payment, trigger, available, paid)
            if reason:
                yield replace(payment, status="RJCT", reason=reason)
                continue
            available[payment.currency] -= payment.amount
            silent = trigger.word in (Word.LOST, Word.UNKN)
            yield replace(payment, status=self._first_status(trigger), silent=silent)

    def _refusal(self, payment: Payment, trigger: Trigger, available: Mapping[str, int], paid: Set[str]) -> str:
        if trigger.word is Word.RJCT:
            return trigger.reason
        if payment.currency not in available:
            return "AM03"
        if not payment.bank or payment.bank in self._configuration.unknown_banks:
            return "RC04"
        if same_bic(payment.bank, payment.participant):
            return "AGNT"
        if payment.uetr in paid:
            return "DU03"
        return "AM04" if payment.amount > available[payment.currency] else ""

    def _first_status(self, trigger: Trigger) -> str:
        match trigger.word:
            case Word.PDNG | Word.UNKN:
                return "PDNG"
            case Word.ACSP:
                return "ACSP"
            case Word.NONE if self._configuration.cycle_seconds:
                return "PDNG"
            case _:
                return "ACSC"

    def _settle(self, payment: Payment) -> Payment:
        self._books.book(payment, -payment.amount, "payment", self.day, self.now_seconds)
        return self._books.update(payment, status="ACSC")

    def _status_requests(self, sender: str, document: etree._Element) -> None:
        answers: dict[_Original, list[Told]] = defaultdict(list)
        unknown: list[Named] = []
        asked: dict[int, Payment] = {}
        for named in named_in(document):
            found = self._find(sender, named)
            asked.update({payment.id: payment for payment in found})
            if not found:
                unknown.append(named)
        for payment in asked.values():
            if Trigger.of(payment.end_to_end_id).word is Word.UNKN and payment.status == "PDNG" and payment.asked:
                payment = self._books.update(payment, status="RJCT", reason="MS03")
            payment = self._books.update(payment, asked=payment.asked + 1, silent=False)
            answers[payment.message_id, payment.definition].append(Told(payment, payment.status, payment.reason))
        for original, told in answers.items():
            self._tell(sender, original, "", told)
        if unknown:
            business_id = self._next_id()
            self._send(sender, business_id, STATUS, self._writer.unknown(business_id, unknown, self.now))

    def _recalls(self, sender: str, document: etree._Element) -> None:
        for named in named_in(document):
            found = self._find(sender, named)
            for payment in found:
                self._recall(sender, _named(payment, named.case_id), payment.id)
            if not found:
                self._resolve(sender, named, "RJCR", "NOOR")

    def _recall(self, sender: str, named: Named, payment_id: int) -> None:
        # Read again: the same request may have asked for it before.
        payment = self._books.payment(payment_id)
        if payment.status == "RJCT":
            self._resolve(sender, named, "RJCR", "NOOR")
        elif payment.returned:
            self._resolve(sender, named, "RJCR", "ARDT")
        else:
            self._decide_recall(sender, named, payment)

    def _decide_recall(self, sender: str, named: Named, payment: Payment) -> None:
        trigger = Trigger.of(payment.end_to_end_id)
        match trigger.answer:
            case "RJCR":
                self._resolve(sender, named, "RJCR", trigger.reason)
            case "PDCR":
                self._resolve(sender, named, "PDCR", "")
                at = self.now_seconds + self._configuration.pending_seconds
                self._books.plan(at, [Due("reject_recall", payment.id, named.case_id)])
            case _:
                self._resolve(sender, named, "ACCR", "")
                if payment.status != "ACSC":
                    after = self._books.update(payment, status="RJCT", reason="CUST")
                    self._tell(sender, (after.message_id, after.definition), "", [Told(after, "RJCT", "CUST")])
                else:
                    self._return(payment, "FOCR")

    def _returns(self, sender: str, definition: str, document: etree._Element) -> None:
        told = []
        for named in named_in(document):
            found = self._find(sender, named, incoming=True)
            payment = self._books.payment(found[0].id) if len(found) == 1 else None
            reason, words = self._return_refusal(payment, named)
            if payment is not None and not reason:
                self._books.book(payment, -named.amount, "return", self.day, self.now_seconds)
                code = named.reason if is_code("ExternalReturnReason1Code", named.reason) else "NARR"
                self._books.update(payment, returned=payment.returned + named.amount, reason=code)
            told.append(Told(named, "RJCT" if reason else "ACSC", reason, words))
        statuses = {one.status for one in told}
        group = statuses.pop() if len(statuses) == 1 else "PART"
        self._tell(sender, (message_id_of(document), definition), group, told)

    def _return_refusal(self, payment: Payment | None, named: Named) -> tuple[str, str]:
        """Return why a participant's return is not carried out, as a code and words; both are "" when it is."""
        if payment is None:
            return "NARR", "no payment that came in has these references"
        if named.currency != payment.currency:
            return "AM03", "the payment is in another currency"
        if not 0 < named.amount <= payment.amount - payment.returned:
            return "AM09", "more than is left of the payment"
        if named.amount > self._books.available(payment.participant, payment.currency):
            return "AM04", ""
        return "", ""

    def _answers(self, sender: str, definition: str, document: etree._Element) -> None:
        # What came in is settled: whatever a participant says of it, the money comes back with his pacs.004 only.
        for named in named_in(document):
            for payment in self._find(sender, named, incoming=True):
                self._books.note_answer(payment, definition, named.status, named.reason)

    def _reports(self, sender: str, document: etree._Element) -> None:
        currencies = self._configuration.currencies
        for wanted in reports_wanted(document):
            if not wanted.definition.startswith("camt.052"):
                raise RefusedError(422, "unsupported_message", "ReqdMsgNmId: only camt.052 is given on request")
            if wanted.owner and not same_bic(wanted.owner, sender):
                raise RefusedError(422, "rules_violated", "AcctOwnr: the account is another participant's")
            if wanted.currency and wanted.currency not in currencies:
                raise RefusedError(422, "rules_violated", "Acct/Ccy: there is no account in this currency")
            for currency in (wanted.currency,) if wanted.currency else currencies:
                self._report(sender, currency, INTRADAY)

    # What others do, by the control interface.

    def return_payment(self, uetr: str, reason: str) -> None:
        """Let the other bank send a settled payment back. Raises UnknownPaymentError."""
        with self._books.transaction():
            found = [
                one
                for one in self._books.by_uetr(uetr)
                if one.status == "ACSC" and not one.returned and not one.incoming
            ]
            if not found:
                raise UnknownPaymentError(uetr)
            self._return(found[0], reason)

    def credit(self, participant: str, incoming: Incoming) -> str:
        """Let another bank pay to a participant's customer; returns the message's identifier."""
        with self._books.transaction():
            business_id = self._next_id()
            (payment,) = self._books.add(
                [
                    Payment(
                        participant=participant, message_id=business_id, definition=TRANSFER, instruction_id="",
                        end_to_end_id=incoming.end_to_end_id, transaction_id=business_id, uetr=incoming.uetr,
                        amount=incoming.amount, currency=incoming.currency, day=self.day, bank=OTHER_BANK,
                        status="ACSC", incoming=True,
                    )
                ]
            )  # fmt: skip
            self._books.book(payment, payment.amount, "payment", self.day, self.now_seconds)
            body = self._writer.transfer(business_id, participant, incoming, OTHER_BANK, self.day, self.now)
            self._send(participant, business_id, TRANSFER, body)
        return business_id

    def recall(self, uetr: str, reason: str) -> None:
        """Let another bank ask a payment to a participant's customer back. Raises UnknownPaymentError."""
        with self._books.transaction():
            found = [one for one in self._books.by_uetr(uetr) if one.incoming]
            if not found:
                raise UnknownPaymentError(uetr)
            business_id = self._next_id()
            body = self._writer.cancellation(business_id, found[0].participant, found[0], reason, self.now)
            self._send(found[0].participant, business_id, CANCELLATION, body)

    def close_day(self) -> int:
        """Write a statement of every participant's account in every currency; returns how many."""
        with self._books.transaction():
            for participant in self._configuration.credentials.participants:
                for currency in self._configuration.currencies:
                    self._report(participant, currency, STATEMENT)
        return len(self._configuration.credentials.participants) * len(self._configuration.currencies)

    # The rest.

    def _find(self, sender: str, named: Named, *, incoming: bool = False) -> list[Payment]:
        """Return the payments of a participant that a message names: one, all of a whole message, or none."""
        if named.uetr:
            candidates = self._books.by_uetr(named.uetr)
        elif named.message_id:
            candidates = self._books.by_message(named.message_id)
        else:
            candidates = self._books.by_end_to_end_id(named.end_to_end_id)
        found = [
            payment
            for payment in candidates
            if payment.participant == sender and payment.incoming is incoming and _fits(payment, named)
        ]
        if len(found) > 1 and named.uetr:
            found = [payment for payment in found if payment.status != "RJCT"]
        # References of one payment that fit several name none of them.
        return found if len(found) == 1 or named.is_whole_message else []

    def _return(self, payment: Payment, reason: str) -> None:
        self._books.book(payment, payment.amount, "return", self.day, self.now_seconds)
        after = self._books.update(payment, returned=payment.amount)
        business_id = self._next_id()
        body = self._writer.payment_return(business_id, after, reason, self.day, self.now)
        self._send(after.participant, business_id, RETURN, body)

    def _resolve(self, to: str, named: Named, status: str, reason: str) -> None:
        business_id = self._next_id()
        body = self._writer.resolution(business_id, to, named.case_id, named, status, reason, self.now)
        self._send(to, business_id, RESOLUTION, body)

    def _tell(self, to: str, original: _Original, group: str, told: Sequence[Told]) -> None:
        business_id = self._next_id()
        body = self._writer.status(business_id, *original, group, told, self.now)
        self._send(to, business_id, STATUS, body)

    def _report(self, participant: str, currency: str, definition: str) -> None:
        last = self._books.last_closing(participant, currency)
        entries = self._books.entries(participant, currency, last.last_entry)
        business_id = self._next_id()
        body = self._writer.report(
            business_id, definition, participant, currency, last.number + 1, last.balance, entries, self.day, self.now
        )
        if definition == STATEMENT:
            closing = Closing(
                last.number + 1,
                entries[-1].id if entries else last.last_entry,
                last.balance + sum(entry.amount for entry in entries),
            )
            self._books.close_statement(participant, currency, closing, self.day)
        self._send(participant, business_id, definition, body)

    def _next_id(self) -> str:
        self._number += 1
        self._books.set("number", str(self._number))
        return f"CLR{self._instance}{self._number:012d}"

    def _send(self, to: str, business_id: str, definition: str, body: str) -> None:
        self._deliver(to, business_id, definition, self._writer.envelope(to, business_id, definition, body, self.now))


def _fits(payment: Payment, named: Named) -> bool:
    return all(
        not theirs or theirs == ours
        for theirs, ours in (
            (named.message_id, payment.message_id),
            (named.instruction_id, payment.instruction_id),
            (named.transaction_id, payment.transaction_id),
            (named.end_to_end_id, payment.end_to_end_id),
        )
    )


def _named(payment: Payment, case_id: str) -> Named:
    return Named(
        payment.message_id,
        payment.instruction_id,
        payment.end_to_end_id,
        payment.transaction_id,
        payment.uetr,
        case_id=case_id,
        definition=payment.definition,
    )
