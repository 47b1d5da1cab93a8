from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import msgspec
import pytest

from shanraq import kyc
from shanraq.core.actor import SYSTEM, Actor, ActorKind, Environment, MissingScopeError
from shanraq.core.crypto import Keyring, SealBrokenError
from shanraq.core.db import Database
from shanraq.core.identity import InvalidDetailError
from shanraq.core.ids import InvalidIdError, new_id
from shanraq.core.page import PageRequest
from shanraq.kyc import Address, Company, Customer, CustomerChange, CustomerStatus, NewCustomer, Person

PARTNER = Actor(
    kind=ActorKind.PARTNER, id="key_1", partner_id="prt_1", environment=Environment.SANDBOX, book=2,
    scopes=frozenset({"customers:read", "customers:write"}), request_id="req_1",
)  # fmt: skip
LIVE = replace(PARTNER, environment=Environment.LIVE, book=3)
STRANGER = replace(PARTNER, partner_id="prt_2", book=4)

ADDRESS = Address(country="KZ", city="Almaty", line1="Abai 10", postal_code="050000")
PERSON = Person(
    given_name="Aigerim",
    family_name="Zhaksylykova",
    birth_date=date(1990, 1, 31),
    nationality="KZ",
    national_id="010819509784",
    email="aigerim@mail.example",
    phone="+77010000000",
    address=ADDRESS,
)
COMPANY = Company(legal_name="Alma Pay LLP", country="KZ", registration_number="980540000397", address=ADDRESS)


class Registry:
    """The verbs with fewer words."""

    def __init__(self, database: Database) -> None:
        self.db = database
        self.keyring = Keyring.generate()

    async def register(
        self, details: kyc.Details = PERSON, reference: str | None = None, actor: Actor = PARTNER
    ) -> Customer:
        new = NewCustomer(details=details, reference=reference)
        return await kyc.register_customer(self.db, self.keyring, actor, new)

    async def find(self, customer_id: str, actor: Actor = PARTNER) -> Customer:
        return await kyc.find_customer(self.db, self.keyring, actor, customer_id)

    async def update(self, customer_id: str, change: CustomerChange, actor: Actor = PARTNER) -> Customer:
        return await kyc.update_customer(self.db, self.keyring, actor, customer_id, change)

    async def erase(self, customer_id: str, actor: Actor = PARTNER) -> Customer:
        return await kyc.erase_customer(self.db, self.keyring, actor, customer_id)

    async def require(self, customer_id: str, actor: Actor = PARTNER) -> None:
        async with self.db.begin(actor) as tx:
            await kyc.require_customer(tx, customer_id, field="owner")


@pytest.fixture
def registry(database: Database) -> Registry:
    return Registry(database)


@pytest.mark.parametrize(("details", "kind"), [(PERSON, "person"), (COMPANY, "company")])
async def test_a_registered_customer_is_found_as_it_was_told(
    registry: Registry, details: kyc.Details, kind: str
) -> None:
    customer = await registry.register(details, "shop-17")

    assert await registry.find(customer.id) == customer
    assert (customer.kind, customer.details, customer.reference) == (kind, details, "shop-17")
    assert (customer.status, customer.kyc_status, customer.version) == ("active", "unverified", 1)


def test_the_kind_of_details_is_written_in_them() -> None:
    read = msgspec.json.decode(msgspec.json.encode(NewCustomer(details=COMPANY)), type=NewCustomer)

    assert read.details == COMPANY
    assert b'"kind":"company"' in msgspec.json.encode(COMPANY)


@pytest.mark.parametrize(
    ("details", "field", "value", "named"),
    [
        (PERSON, "given_name", " ", "details.given_name"),
        (PERSON, "family_name", "x" * 141, "details.family_name"),
        (PERSON, "middle_name", "a\x00", "details.middle_name"),
        (PERSON, "birth_date", date(2999, 1, 1), "details.birth_date"),
        (PERSON, "birth_date", date(1850, 1, 1), "details.birth_date"),
        (PERSON, "nationality", "ZZ", "details.nationality"),
        (PERSON, "nationality", None, "details.nationality"),
        (PERSON, "national_id", "010819509787", "details.national_id"),
        (PERSON, "email", "aigerim", "details.email"),
        (PERSON, "phone", "8 701 000 00 00", "details.phone"),
        (PERSON, "address", msgspec.structs.replace(ADDRESS, country="kz"), "details.address.country"),
        (PERSON, "address", msgspec.structs.replace(ADDRESS, city=""), "details.address.city"),
        (PERSON, "address", msgspec.structs.replace(ADDRESS, line1=""), "details.address.line1"),
        (PERSON, "address", msgspec.structs.replace(ADDRESS, line2=""), "details.address.line2"),
        (PERSON, "address", msgspec.structs.replace(ADDRESS, postal_code="x" * 17), "details.address.postal_code"),
        (COMPANY, "legal_name", "", "details.legal_name"),
        (COMPANY, "country", "Kazakhstan", "details.country"),
        (COMPANY, "registration_number", "980540000398", "details.registration_number"),
        (COMPANY, "email", "@", "details.email"),
        (COMPANY, "phone", "+7", "details.phone"),
        (COMPANY, "address", msgspec.structs.replace(ADDRESS, city="\n"), "details.address.city"),
    ],
)
async def test_a_wrong_detail_is_named(
    registry: Registry, details: kyc.Details, field: str, value: Any, named: str
) -> None:
    with pytest.raises(InvalidDetailError) as refused:
        await registry.register(msgspec.structs.replace(details, **{field: value}))

    assert refused.value.field == named


async def test_birth_is_judged_by_the_day_of_the_transaction(registry: Registry) -> None:
    registry.db.clock = lambda: datetime(1990, 2, 1, tzinfo=UTC)
    assert await registry.register(PERSON)
    registry.db.clock = lambda: datetime(1990, 1, 31, 23, 59, tzinfo=UTC)

    with pytest.raises(InvalidDetailError) as refused:
        await registry.register(PERSON)

    assert refused.value.field == "details.birth_date"


async def test_reference_and_metadata_have_limits(registry: Registry) -> None:
    for new, named in (
        (NewCustomer(details=PERSON, reference=""), "reference"),
        (NewCustomer(details=PERSON, reference="x" * 65), "reference"),
        (NewCustomer(details=PERSON, metadata={f"k{n}": "" for n in range(51)}), "metadata"),
        (NewCustomer(details=PERSON, metadata={"": "x"}), "metadata"),
        (NewCustomer(details=PERSON, metadata={"k": "x" * 501}), "metadata"),
        (NewCustomer(details=PERSON, metadata={"k": "\x00"}), "metadata"),
    ):
        with pytest.raises(InvalidDetailError) as refused:
            await kyc.register_customer(registry.db, registry.keyring, PARTNER, new)
        assert refused.value.field == named


async def test_a_reference_is_unique_within_partner_and_environment(registry: Registry) -> None:
    await registry.register(reference="a")
    other = await registry.register(reference="b")

    with pytest.raises(kyc.CustomerReferenceTakenError):
        await registry.register(reference="a")
    with pytest.raises(kyc.CustomerReferenceTakenError):
        await registry.update(other.id, CustomerChange(version=1, reference="a"))
    for elsewhere in (LIVE, STRANGER):
        assert await registry.register(reference="a", actor=elsewhere)


async def test_of_many_registrations_with_one_reference_one_is_made(registry: Registry) -> None:
    results = await asyncio.gather(*(registry.register(reference="a") for _ in range(5)), return_exceptions=True)

    assert sorted(type(result).__name__ for result in results) == ["Customer"] + ["CustomerReferenceTakenError"] * 4


async def test_a_change_replaces_what_it_names_and_keeps_the_rest(registry: Registry) -> None:
    customer = await registry.register(reference="a")
    moved = msgspec.structs.replace(PERSON, address=None)

    changed = await registry.update(customer.id, CustomerChange(version=1, details=moved))
    renamed = await registry.update(customer.id, CustomerChange(version=2, reference=None, metadata={"tier": "gold"}))

    assert (changed.details, changed.reference, changed.version) == (moved, "a", 2)
    assert (renamed.details, renamed.reference, renamed.metadata) == (moved, None, {"tier": "gold"})
    assert await registry.find(customer.id) == renamed


async def test_a_change_of_an_old_version_is_refused(registry: Registry) -> None:
    customer = await registry.register()

    results = await asyncio.gather(
        *(registry.update(customer.id, CustomerChange(version=1, metadata={"n": str(n)})) for n in range(4)),
        return_exceptions=True,
    )

    assert sorted(type(result).__name__ for result in results) == ["Customer"] + ["CustomerVersionError"] * 3


async def test_a_change_is_checked_like_a_registration(registry: Registry) -> None:
    customer = await registry.register()

    for change, named in (
        (CustomerChange(version=1, details=msgspec.structs.replace(PERSON, email="x")), "details.email"),
        (CustomerChange(version=1, reference=""), "reference"),
        (CustomerChange(version=1, metadata={"": ""}), "metadata"),
    ):
        with pytest.raises(InvalidDetailError) as refused:
            await registry.update(customer.id, change)
        assert refused.value.field == named
    with pytest.raises(kyc.CustomerKindError):
        await registry.update(customer.id, CustomerChange(version=1, details=COMPANY))


async def test_an_erased_customer_is_nobody_for_ever(registry: Registry) -> None:
    customer = await registry.register(reference="a")
    await registry.update(customer.id, CustomerChange(version=1, metadata={"nick": "Aika"}))

    erased = await registry.erase(customer.id)

    assert (erased.status, erased.details, erased.metadata) == (CustomerStatus.ERASED, None, {})
    assert (erased.id, erased.kind, erased.reference) == (customer.id, "person", "a")
    assert await registry.find(customer.id) == erased
    assert await registry.erase(customer.id) == erased
    with pytest.raises(kyc.CustomerErasedError):
        await registry.update(customer.id, CustomerChange(version=erased.version, details=PERSON))
    async with registry.db.begin(SYSTEM) as tx:
        assert await tx.value("SELECT sealed IS NULL FROM customer")


async def test_nothing_new_is_done_in_the_name_of_an_erased_or_unknown_customer(registry: Registry) -> None:
    customer = await registry.register()
    await registry.require(customer.id)
    await registry.erase(customer.id)

    with pytest.raises(kyc.CustomerErasedError) as erased:
        await registry.require(customer.id)
    with pytest.raises(kyc.CustomerNotFoundError) as unknown:
        await registry.require(new_id("cus"))
    with pytest.raises(InvalidIdError) as malformed:
        await registry.require("cus_1")

    assert {error.value.field for error in (erased, unknown, malformed)} == {"owner"}


async def test_a_customer_cannot_be_erased_while_something_is_done_in_its_name(registry: Registry) -> None:
    customer = await registry.register()
    begun, order = asyncio.Event(), []

    async def do() -> None:
        async with registry.db.begin(PARTNER) as tx:
            await kyc.require_customer(tx, customer.id)
            begun.set()
            await asyncio.sleep(0.05)
            order.append("done")

    doing = asyncio.create_task(do())
    await begun.wait()
    await registry.erase(customer.id)
    order.append("erased")
    await doing

    assert order == ["done", "erased"]


async def test_another_partner_and_the_other_environment_see_nobody(registry: Registry) -> None:
    customer = await registry.register()

    for actor in (LIVE, STRANGER):
        with pytest.raises(kyc.CustomerNotFoundError):
            await registry.find(customer.id, actor)
        with pytest.raises(kyc.CustomerNotFoundError):
            await registry.update(customer.id, CustomerChange(version=1), actor)
        with pytest.raises(kyc.CustomerNotFoundError):
            await registry.erase(customer.id, actor)
        with pytest.raises(kyc.CustomerNotFoundError):
            await registry.require(customer.id, actor)
        page = await kyc.list_customers(registry.db, registry.keyring, actor, PageRequest())
        assert page.items == ()
        async with registry.db.begin(actor) as tx:
            assert await tx.value("SELECT count(*) FROM customer") == 0


async def test_a_partner_cannot_write_a_row_of_another(registry: Registry) -> None:
    customer = await registry.register()

    async with registry.db.begin(STRANGER) as tx:
        assert await tx.execute("UPDATE customer SET version = 9 WHERE id = $1", customer.id) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with registry.db.begin(PARTNER) as tx:
            await tx.execute("DELETE FROM customer")


async def test_reading_and_writing_need_their_scopes(registry: Registry) -> None:
    customer = await registry.register()
    reader, writer = (replace(PARTNER, scopes=frozenset({f"customers:{verb}"})) for verb in ("read", "write"))

    for call in (
        registry.register(actor=reader),
        registry.update(customer.id, CustomerChange(version=1), reader),
        registry.erase(customer.id, reader),
        registry.find(customer.id, writer),
        kyc.list_customers(registry.db, registry.keyring, writer, PageRequest()),
    ):
        with pytest.raises(MissingScopeError):
            await call


async def test_customers_are_listed_newest_first_by_status_and_reference(registry: Registry) -> None:
    made = [await registry.register(reference=f"r{n}") for n in range(3)]
    await registry.erase(made[1].id)

    async def listed(request: PageRequest, **wanted: Any) -> tuple[list[str], str]:
        page = await kyc.list_customers(registry.db, registry.keyring, PARTNER, request, **wanted)
        return [customer.id for customer in page.items], page.next_cursor

    first, cursor = await listed(PageRequest(limit=2))
    rest, end = await listed(PageRequest.read(cursor, 2))

    assert first + rest == [customer.id for customer in reversed(made)]
    assert end == ""
    assert await listed(PageRequest(), status=CustomerStatus.ERASED) == ([made[1].id], "")
    assert await listed(PageRequest(), reference="r2") == ([made[2].id], "")


async def test_who_a_customer_is_lies_nowhere_in_the_clear(registry: Registry, owner_dsn: str) -> None:
    customer = await registry.register(reference="shop-17")
    await registry.update(customer.id, CustomerChange(version=1, details=PERSON))
    connection = await asyncpg.connect(owner_dsn)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = [
        row["line"]
        for table in tables
        for row in await connection.fetch(f'SELECT t::text AS line FROM "{table["tablename"]}" t')
    ]
    await connection.close()

    dump = "\n".join(rows)

    assert customer.id in dump
    assert "shop-17" in dump
    for secret in ("Aigerim", "Zhaksylykova", "010819509784", "aigerim@", "77010000000", "Abai", "1990-01-31"):
        assert secret not in dump
        assert secret.encode().hex() not in dump


async def test_details_moved_to_another_customer_do_not_open(registry: Registry, owner_dsn: str) -> None:
    first, second = await registry.register(), await registry.register(COMPANY)
    connection = await asyncpg.connect(owner_dsn)
    await connection.execute(
        "UPDATE customer SET sealed = (SELECT sealed FROM customer WHERE id = $1) WHERE id = $2", first.id, second.id
    )
    await connection.close()

    with pytest.raises(SealBrokenError):
        await registry.find(second.id)


async def test_every_change_is_in_the_audit_log_without_personal_data(registry: Registry) -> None:
    customer = await registry.register()
    await registry.update(customer.id, CustomerChange(version=1, metadata={"a": "b"}))
    await registry.erase(customer.id)

    async with registry.db.begin(PARTNER) as tx:
        entries = await tx.rows("SELECT * FROM audit_entry WHERE subject = $1 ORDER BY at", customer.id)

    assert [(entry["action"], entry["details"]) for entry in entries] == [
        ("customer.registered", b'{"kind":"person"}'),
        ("customer.updated", b'{"changed":["metadata"]}'),
        ("customer.erased", b"{}"),
    ]
