"""What the routes need, put together once at start."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from litestar.di import NamedDependency
from litestar.params import SkipValidation

from shanraq import credit_transfers, partners, payment_files, payments, statements, transactions, webhooks
from shanraq.api.answer import Answer, answer_given
from shanraq.core.actor import Actor
from shanraq.core.batch import Batcher
from shanraq.core.crypto import Keyring
from shanraq.core.db import Database
from shanraq.core.once import Given

T = TypeVar("T")


@dataclass(slots=True)
class ApiServices:
    """The database, the keys, the payment systems, the rules of webhook targets, the clearing systems, who keeps the accounts.

    `transactions_batch` gathers concurrent requests of one credential into one database transaction.
    """

    db: Database
    keyring: Keyring
    acquiring: payments.Acquiring
    webhook_policy: webhooks.GuardPolicy
    interbank: credit_transfers.Interbank
    institution: statements.Institution = field(default_factory=statements.Institution)
    payment_file_limit_bytes: int = payment_files.LIMIT_BYTES
    transactions_batch: Batcher[transactions.Asked, transactions.Answer] = field(init=False)

    def __post_init__(self) -> None:
        self.transactions_batch = Batcher(self._create_transactions)

    async def _create_transactions(
        self, group: Hashable, asked: Sequence[transactions.Asked]
    ) -> Sequence[transactions.Answer | BaseException]:
        assert isinstance(group, Actor)
        return await transactions.create_transactions(self.db, group, asked)

    @property
    def reports(self) -> statements.Reader:
        """Return what account reports are read with."""
        return statements.Reader(self.db, self.keyring, self.institution)

    async def answered(self, actor: Actor, given: Given[T], headers: Mapping[str, str] | None = None) -> Answer[T]:
        """Answer a keyed request; a replay is what a certification run wants to see."""
        if given.replayed and actor.certifying:
            async with self.db.begin(actor) as tx:
                await partners.observe(tx, partners.Check.IDEMPOTENT_REPLAY, actor.request_id)
        return answer_given(given, headers=headers)


Services: TypeAlias = NamedDependency[SkipValidation[ApiServices]]
"""The parameter `services: Services` of a route."""
