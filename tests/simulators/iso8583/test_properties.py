"""What holds whatever is sent, in whatever order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from shanraq.simulators.iso8583 import HostConfiguration, Iso8583Host, Standing
from shanraq.simulators.iso8583.accounts import Accounts
from shanraq.simulators.iso8583.serve import Connection
from shanraq.standards import iso8583
from shanraq.standards.iso8583 import Message
from shanraq.standards.iso8583.flow import original_data, repeat_mti
from shanraq.standards.iso8583.framing import Received

RRNS = ("000000000001", "000000000002")
CODEC = iso8583.codec("iso87_asciibin")

steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["authorize", "purchase", "complete", "refund", "reverse", "reverse in part", "repeat", "overtake", "late"]
        ),
        st.integers(0, 40),
        st.integers(0, 300),
        st.sampled_from(RRNS),
    ),
    max_size=40,
)


class Sender:
    """Sends straight into a host, without a socket, and keeps what was approved."""

    def __init__(self) -> None:
        self.host = Iso8583Host(HostConfiguration())
        self.connection = Connection(self.host, self.host._wire.framing)
        self.sent: list[Message] = []
        self.held_back: list[Message] = []
        self.answers: dict[tuple[str, str], bytes] = {}
        self.authorized: Counter[str] = Counter()

    def send(self, message: Message) -> str:
        self.host.take(self.connection, Received(CODEC.encode(message)))
        self.host.keep()
        raw = self.connection._out.pop()[2:]
        name = message.mti[:3], message.fields[11]
        assert self.answers.setdefault(name, raw) == raw, "a repeat is answered as before"
        self.sent.append(message)
        return CODEC.decode(raw).fields[39]

    def build(self, mti: str, processing: str, amount: int, rrn: str, **more: str) -> Message:
        stan = len(self.sent) + len(self.held_back) + 1
        fields = {
            2: "4000000000000002", 3: processing, 4: f"{amount:012d}", 7: "0401123045", 11: f"{stan:06d}",
            32: "123456", 37: rrn, 41: "TERM0001", 49: "398",
        } | {int(name[2:]): value for name, value in more.items()}  # fmt: skip
        return Message(mti, dict(sorted(fields.items())))

    def step(self, verb: str, which: int, amount: int, rrn: str) -> None:
        original = self.sent[which % len(self.sent)] if self.sent else None
        match verb:
            case "authorize" | "purchase":
                mti = "0100" if verb == "authorize" else "0200"
                if self.send(self.build(mti, "000000", amount, rrn)) == "00":
                    self.authorized[rrn] += amount
            case "complete" if original is not None:
                self.send(self.build("0220", "000000", amount, rrn, de90=original_data(original)))
            case "complete":
                self.send(self.build("0220", "000000", amount, rrn))
            case "refund":
                self.send(self.build("0200", "200000", amount, rrn))
            case "reverse" if original is not None:
                self.send(self.build("0420", "000000", 0, rrn, de90=original_data(original)))
            case "reverse in part" if original is not None:
                remaining = f"{amount:012d}".ljust(42, "0")
                self.send(self.build("0400", "000000", 0, rrn, de90=original_data(original), de95=remaining))
            case "repeat" if original is not None:
                before = self.host.standings()
                self.send(Message(repeat_mti(original.mti), dict(original.fields)))
                assert self.host.standings() == before
            case "overtake":
                overtaken = self.build("0100", "000000", amount, rrn)
                self.held_back.append(overtaken)
                assert self.send(self.build("0420", "000000", 0, rrn, de90=original_data(overtaken))) == "25"
            case "late" if self.held_back:
                before = self.host.standings()
                assert self.send(self.held_back[which % len(self.held_back)]) == "21"
                assert self.host.standings() == before
            case _:
                pass


def check(sender: Sender) -> None:
    for rrn, standing in sender.host.standings().items():
        assert standing.held >= 0
        assert 0 <= standing.refunded <= standing.captured
        assert standing.captured + standing.held <= sender.authorized[rrn]
        assert standing.authorized >= 0


@settings(max_examples=300, deadline=None)
@given(steps)
def test_no_sequence_of_operations_makes_or_loses_money(sequence: list[tuple[str, int, int, str]]) -> None:
    sender = Sender()
    for step in sequence:
        sender.step(*step)
        check(sender)

    replayed = Accounts()
    for operation in sender.host._accounts._operations.values():
        replayed.apply(operation.entry)
    assert replayed.standings() == sender.host.standings(), "a restart knows what was known"
    assert not sender.host.counts["mistakes"]

    # Everything can be taken back: refunds first, then completions and the rest.
    for message in list(sender.sent):
        if message.fields[3][0] == "2":
            sender.send(sender.build("0420", "200000", 0, RRNS[0], de90=original_data(message)))
    for message in list(sender.sent):
        if message.mti[1] != "4" and message.fields[3][0] != "2":
            sender.send(sender.build("0420", "000000", 0, RRNS[0], de90=original_data(message)))
    assert set(sender.host.standings().values()) <= {Standing()}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_bytes_make_the_host_stumble(data: st.DataObject) -> None:
    sender = Sender()
    raw = bytearray(CODEC.encode(sender.build("0420", "000000", 10, RRNS[0], de90="0" * 42, de95="0" * 42)))
    for _ in range(data.draw(st.integers(0, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))

    sender.host.take(sender.connection, Received(bytes(raw[: data.draw(st.integers(0, len(raw)))])))

    assert not sender.host.counts["mistakes"]
    for frame in sender.connection._out:
        CODEC.decode(frame[2:])
