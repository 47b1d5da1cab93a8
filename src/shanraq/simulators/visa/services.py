"""The services of the gateway put together: which handler answers which operation."""

from __future__ import annotations

import base64
import hmac
import ssl
from collections.abc import Callable, Collection, Mapping

from shanraq.simulators.serve import Reply
from shanraq.simulators.visa.bins import BinLookup
from shanraq.simulators.visa.credentials import VisaCredentials
from shanraq.simulators.visa.deliver import Deliveries
from shanraq.simulators.visa.ids import Ids
from shanraq.simulators.visa.model import Cutoff, JournalEntry, Refusal
from shanraq.simulators.visa.notify import Notifications
from shanraq.simulators.visa.operate import Gateway
from shanraq.simulators.visa.payer import PayerAuthentication
from shanraq.simulators.visa.render import HAL, detail, json_reply
from shanraq.simulators.visa.reports import Reports
from shanraq.simulators.visa.risk import RiskManager
from shanraq.simulators.visa.route import Call, Handler, Verb
from shanraq.simulators.visa.search import Searches
from shanraq.simulators.visa.settle import Disputes
from shanraq.simulators.visa.store import Store
from shanraq.simulators.visa.tokens import Tokens
from shanraq.simulators.visa.views import SettlementViews


class Services:
    """Everything that answers merchants, over one store. `clock` is the wall clock in seconds."""

    def __init__(
        self,
        credentials: VisaCredentials,
        store: Store,
        keep: Callable[[JournalEntry], None],
        clock: Callable[[], float],
        base_url: Callable[[], str],
        *,
        seed: int,
        taken_on_502: Collection[str],
        webhook_tls: ssl.SSLContext | None = None,
    ) -> None:
        merchants = {
            credentials.merchant_id: (credentials.key_id, credentials.secret),
            credentials.other_merchant_id: (credentials.other_key_id, credentials.other_secret),
        }
        # Hashes and tokens of this simulator stay the same over a restart, and are of no use without its credentials.
        key = hmac.digest(base64.b64decode(credentials.secret), b"simulator", "sha256")
        ids = Ids(store, seed)
        self._store = store
        self._keep = keep
        self.gateway = Gateway(store, keep, clock, seed=seed, taken_on_502=taken_on_502)
        now = self.gateway.now
        self.searches = Searches(store, now, seed)
        self.deliveries = Deliveries(lambda: now().timestamp(), clock, webhook_tls)
        self.notifications = Notifications(store, keep, now, ids, self.deliveries, merchants)
        self.deliveries.headers_of = self.notifications.headers_of
        self.deliveries.is_active = self.notifications.is_active
        self.deliveries.gave_up = self.notifications.gave_up
        publish = self.notifications.publish
        self.payer = PayerAuthentication(store, keep, now, ids, key, base_url)
        self.risk = RiskManager(store, keep, now, ids, key, publish)
        self.tokens = Tokens(store, keep, now, ids, key, publish)
        self.views = SettlementViews(store, now, frozenset(merchants))
        self.reports = Reports(store, keep, now, ids, self.views.check_organization)
        self.disputes = Disputes(store, keep, now, ids)
        self.risk.capture, self.risk.reverse = self.gateway.capture_whole, self.gateway.reverse_whole
        self.payer.read_card = self.risk.read_card = self.tokens.read_card
        self.gateway.payer, self.gateway.risk = self.payer, self.risk
        self.gateway.tokens, self.gateway.notifications = self.tokens, self.notifications
        self.handlers: Mapping[Verb, Handler] = {
            **self.gateway.handlers(),
            **self.payer.handlers(),
            **self.risk.handlers(),
            **self.notifications.handlers(),
            **self.views.handlers(),
            **self.reports.handlers(),
            **self.tokens.handlers(),
            **BinLookup(now, ids, self.tokens.prefix_of).handlers(),
            Verb.SEARCH: lambda call: self.searches.create(call.merchant_id, call.body),
            Verb.GET_SEARCH: lambda call: self.searches.get(call.merchant_id, call.route.id),
            Verb.GET_TRANSACTION: self._get_transaction,
        }

    def _get_transaction(self, call: Call) -> Reply:
        record = self._store.find(call.merchant_id, call.route.id)
        if record is None:
            raise Refusal("INVALID_DATA", field="id", status=404, message="The transaction was not found")
        return json_reply(200, detail(record), HAL)

    def cut_off(self) -> int:
        """Send the batch, make the reports about it, and notify the merchants; return how many transactions it has."""
        pending = list(self._store.pending())
        since = max((batch.time for batch in self._store.batches.values()), default=None)
        now = self.gateway.now()
        self._keep(Cutoff(now))
        if not pending:
            return 0
        first = min(record.operation.time for record in pending)
        self.reports.after_cut_off(since if since is not None else first)
        for record in pending:
            if record.operation.kind.value == "capture" or record.operation.sale:
                self.gateway.tell(record, "payments.capture.status.updated")
        return len(pending)

    def forget(self) -> None:
        """Forget what is in no journal: searches, scripted answers, notifications on their way."""
        self.searches.forget()
        self.gateway.script.waiting.clear()
        self.deliveries.forget()
