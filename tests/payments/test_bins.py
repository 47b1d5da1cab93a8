"""The table of BINs: what is wrong with one, its versions, who decides for a card, and rules that go by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shanraq import payments
from shanraq.core.actor import SYSTEM, MissingScopeError
from shanraq.core.errors import InvalidInputError
from shanraq.core.page import InvalidCursorError, PageRequest
from shanraq.payments import bin_store, bin_table
from shanraq.payments.bins import BinRange, Fault, Funding, KnownBin, bounds_of, faults
from shanraq.payments.routing import (
    Conditions,
    NewRoutingRule,
    RoutingAction,
    RoutingRule,
    RoutingTarget,
    holds,
    undecided,
)
from tests.payments.conftest import Shop
from tests.payments.gateway import Gateway
from tests.payments.test_routing import FACTS, OPERATOR, action, there


def a_range(
    first: str, last: str = "", country: str = "KZ", funding: Funding = Funding.DEBIT, issuer: str = "A bank"
) -> BinRange:
    return BinRange(
        first=first, last=last or first, scheme="visa", country=country, funding=funding, issuer=issuer
    )  # fmt: skip


def by_issuer(position: int, conditions: Conditions, *adapters: str) -> NewRoutingRule:
    targets = [RoutingTarget(adapter=adapter) for adapter in adapters]
    return NewRoutingRule(
        name="by issuer", position=position, conditions=conditions, action=RoutingAction(adapters=targets)
    )


def test_six_digits_are_all_the_cards_that_begin_with_them() -> None:
    assert bounds_of("411111") == (41111100, 41111199)
    assert bounds_of("41111111111") == (41111111, 41111111)
    assert a_range("4000000", "4999999").bounds == (40000000, 49999999)


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ([a_range("411111"), a_range("41111122"), a_range("411112")], []),
        ([a_range("400000", "499999"), a_range("410000", "410009"), a_range("410000", "410001")], []),
        ([a_range("411111", "41111122")], [Fault(0, "last", "must have as many digits as the first one")]),
        ([a_range("411112", "411111")], [Fault(0, "last", "is before the first one")]),
        ([a_range("411111", country="ZZ")], [Fault(0, "country", "must be an ISO 3166-1 alpha-2 code such as KZ")]),
        ([a_range("411111", issuer="4111 1111 1111 1111")], [Fault(0, "issuer", "holds what passes for a card number")]),
        ([a_range("411111"), a_range("41111100", "41111199")], [Fault(1, "first", "is there twice", 0)]),
        (
            [a_range("411112", "411114"), a_range("411110", "411112")],
            [Fault(0, "first", "overlaps another range without lying within it", 1)],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_told_by_range(table: list[BinRange], wrong: list[Fault]) -> None:
    assert list(faults(table)) == wrong


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda ends: (min(ends), max(ends))),
        unique=True, max_size=12,
    )
)  # fmt: skip
def test_a_table_without_faults_has_ranges_apart_or_within_each_other(ends: list[tuple[int, int]]) -> None:
    table = [a_range(f"{400000 + first}", f"{400000 + last}") for first, last in ends]
    crossing = any(
        one[0] < other[0] <= one[1] < other[1] for one in ends for other in ends
    )  # fmt: skip

    assert bool(list(faults(table))) is crossing


async def test_the_narrowest_range_decides_for_a_card(shop: Shop) -> None:
    db = shop.bank.db
    await payments.replace_bins(
        db,
        OPERATOR,
        [a_range("400000", "499999", "US"), a_range("411111", country="KZ"), a_range("41111122", country="UZ")],
    )
    async with db.begin(OPERATOR) as tx:
        found = {digits: await bin_table.look_up(tx, digits) for digits in (
            "41111111111", "41111122333", "41111222", "411111", "5", "",
        )}  # fmt: skip

    assert {digits: known and known.range.country for digits, known in found.items()} == {
        "41111111111": "KZ", "41111122333": "UZ", "41111222": "US", "411111": "KZ", "5": None, "": None,
    }  # fmt: skip


async def test_every_version_of_the_table_can_be_read_and_what_did_not_change_is_kept_once(shop: Shop) -> None:
    db = shop.bank.db
    first = [a_range("411111"), a_range("422222"), a_range("433333")]
    second = [a_range("411111"), a_range("422222", country="UZ"), a_range("44444444")]
    told: list[int] = []
    await payments.replace_bins(db, OPERATOR, first)
    made = await payments.replace_bins(db, OPERATOR, second, told=told.append)
    again = await payments.replace_bins(db, OPERATOR, second[::-1])
    emptied = await payments.replace_bins(db, OPERATOR, [])
    versions = await payments.bin_table_versions(db, OPERATOR)
    tables = {
        version: [(one.first, one.country) for one in (
            await payments.list_bins(db, OPERATOR, PageRequest(), version=version)).items]
        for version in (1, 2, 3, None)
    }  # fmt: skip
    async with db.begin(SYSTEM) as tx:
        rows = await tx.value("SELECT count(*) FROM bin_range")
        audited = await tx.rows(
            "SELECT actor, details FROM audit_entry WHERE action = 'bin_table.replaced' ORDER BY at, seq"
        )

    assert (made.version, made.ranges, made.added, made.removed, told) == (2, 3, 2, 2, [2])
    assert again == made
    assert (emptied.version, emptied.ranges, emptied.removed) == (3, 0, 3)
    assert [(one.version, one.changed_by) for one in versions] == [(n, "operator:opr_1") for n in (3, 2, 1)]
    assert tables == {
        1: [("41111100", "KZ"), ("42222200", "KZ"), ("43333300", "KZ")],
        2: [("41111100", "KZ"), ("42222200", "UZ"), ("44444444", "KZ")],
        3: [],
        None: [],
    }
    assert rows == 5
    assert {row["actor"] for row in audited} == {"operator:opr_1"}
    assert sorted(msgspec.json.decode(row["details"])["version"] for row in audited) == [1, 2, 3]


async def test_a_wrong_table_changes_nothing_and_the_field_is_named(shop: Shop) -> None:
    db = shop.bank.db
    await payments.replace_bins(db, OPERATOR, [a_range("411111")])
    with pytest.raises(payments.InvalidBinRangeError) as refused:
        await payments.replace_bins(db, OPERATOR, [a_range("422222"), a_range("433333"), a_range("433333")])

    assert refused.value.field == "items[2].first"
    assert len(await payments.bin_table_versions(db, OPERATOR)) == 1


async def test_the_table_is_listed_in_pages_and_shown_by_its_digits(shop: Shop) -> None:
    db = shop.bank.db
    await payments.replace_bins(db, OPERATOR, [a_range("411111"), a_range("400000", "499999"), a_range("41111100")])
    one = await payments.list_bins(db, OPERATOR, PageRequest(limit=2))
    two = await payments.list_bins(db, OPERATOR, PageRequest.read(one.next_cursor, 2))
    shown = await payments.show_bin(db, OPERATOR, "411111")

    assert [(item.first, item.last) for item in (*one.items, *two.items)] == [
        ("40000000", "49999999"), ("41111100", "41111199"), ("41111100", "41111100"),
    ]  # fmt: skip
    assert two.next_cursor == ""
    assert (shown.version, [item.last for item in shown.ranges]) == (1, ["41111199", "49999999"])
    assert [item.first for item in shown.within] == ["41111100"]
    with pytest.raises(payments.BinRangeNotFoundError):
        await payments.show_bin(db, OPERATOR, "511111")
    with pytest.raises(payments.BinTableVersionNotFoundError):
        await payments.list_bins(db, OPERATOR, PageRequest(), version=2)
    with pytest.raises(InvalidCursorError):
        await payments.list_bins(db, OPERATOR, PageRequest(after="rrl_1"))


@pytest.mark.parametrize("digits", ["4111111111111111", "4111x1", "", "٤١١١١١"])
async def test_what_are_no_first_digits_is_refused_and_not_repeated(shop: Shop, digits: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await payments.show_bin(shop.bank.db, OPERATOR, digits)

    assert refused.value.field == "bin"
    assert not digits or digits not in str(refused.value)


async def test_a_partner_may_neither_read_nor_replace_the_table(shop: Shop) -> None:
    db, actor = shop.bank.db, shop.bank.actor
    for attempt in (
        payments.replace_bins(db, actor, []),
        payments.list_bins(db, actor, PageRequest()),
        payments.show_bin(db, actor, "411111"),
        payments.bin_table_versions(db, actor),
    ):
        with pytest.raises(MissingScopeError):
            await attempt


async def test_the_database_itself_keeps_partners_from_writing_the_table(shop: Shop) -> None:
    with pytest.raises(Exception, match="row-level security"):
        async with shop.bank.db.begin(shop.bank.actor) as tx:
            await bin_store.insert(tx, [a_range("411111")], 1, lambda _: None)


KAZAKH = KnownBin(version=3, range=a_range("411111"))
NOT_TOLD = KnownBin(version=3, range=a_range("411111", funding=Funding.UNKNOWN))


@pytest.mark.parametrize(
    ("conditions", "known", "expected", "why"),
    [
        (Conditions(issuer_countries=["KZ", "UZ"]), KAZAKH, True, ""),
        (Conditions(issuer_countries=["UZ"]), KAZAKH, False, ""),
        (Conditions(issuer_countries=["KZ"], funding=[Funding.DEBIT]), KAZAKH, True, ""),
        (Conditions(issuer_countries=["KZ"], funding=[Funding.CREDIT, Funding.PREPAID]), KAZAKH, False, ""),
        (Conditions(issuer_countries=["KZ"]), None, False, "the table of BINs does not know the card"),
        (Conditions(funding=[Funding.DEBIT]), NOT_TOLD, False, "the table of BINs does not know the card's funding"),
        (Conditions(issuer_countries=["UZ"], funding=[Funding.DEBIT]), NOT_TOLD, False, ""),
        (Conditions(issuer_countries=["KZ"], schemes=["mastercard"]), None, False, ""),
    ],
)
def test_what_is_not_known_of_the_issuer_does_not_hold_and_is_told(
    conditions: Conditions, known: KnownBin | None, expected: bool, why: str
) -> None:
    facts = replace(FACTS, issuer=known)
    rules = [
        RoutingRule(
            id=f"rrl_{position}", version=7, position=position, name="", active=True, conditions=wanted,
            action=action("a"), updated_at=datetime.now(UTC),
        )
        for position, wanted in ((2, Conditions()), (1, conditions), (3, Conditions(issuer_countries=["AA"])))
    ]  # fmt: skip

    assert holds(conditions, facts) is expected
    assert [(one.rule, one.rule_version, one.why) for one in undecided(rules, facts, there("a"))] == (
        [("rrl_1", 7, why)] if why else []
    )


async def test_a_payment_goes_by_its_cards_issuer_and_tells_so(shop: Shop) -> None:
    db = shop.bank.db
    a, b = Gateway("a"), Gateway("b")
    shop = shop.at(a, b)
    rule = await payments.create_routing_rule(
        db, OPERATOR, by_issuer(1, Conditions(issuer_countries=["KZ"], funding=[Funding.DEBIT]), "b")
    )
    unknown = (await shop.authorize(key="unknown")).value.routing
    await payments.replace_bins(db, OPERATOR, [a_range("411111")])
    known = (await shop.authorize(key="known")).value.routing
    await payments.replace_bins(db, OPERATOR, [a_range("411111", country="UZ")])
    elsewhere = (await shop.authorize(key="elsewhere")).value.routing

    assert unknown is not None and known is not None and elsewhere is not None
    assert ([one.adapter for one in unknown.candidates], unknown.issuer) == (["a"], None)
    assert [(one.rule, one.why) for one in unknown.undecided] == [(rule.id, "the table of BINs does not know the card")]
    assert ([one.adapter for one in known.candidates], known.rule, known.undecided) == (["b"], rule.id, [])
    assert known.issuer == payments.RoutingIssuer(country="KZ", funding=Funding.DEBIT, bin_table_version=1)
    assert ([one.adapter for one in elsewhere.candidates], elsewhere.undecided) == (["a"], [])
    assert elsewhere.issuer == payments.RoutingIssuer(country="UZ", funding=Funding.DEBIT, bin_table_version=2)
