"""What of compared bills crosses the network."""

from datetime import date

from pydantic import Field

from billing.reconciliation.domain import Difference, EntryKind, Reconciliation
from server.kernel.wire import Id, Instant, Page, PageQuery, WireModel


class ReconcileIn(WireModel):
    """A Beijing day."""

    day: date = Field(strict=False)


class ReconciliationsQuery(PageQuery):
    """Newest day first."""


class TotalModel(WireModel):
    count: int
    amount_fen: int


class FindingModel(WireModel):
    """`number` is ours at the gateway. `ours_fen` null: not in our books; `theirs_fen` null: not in the bill."""

    difference: Difference
    entry: EntryKind
    number: str
    order_id: Id | None
    ours_fen: int | None
    theirs_fen: int | None


class ReconciliationModel(WireModel):
    """One day's bill of one gateway against our books. `payments` and `refunds` are the bill's; `finding_count` counts all
    differences, of which `findings` names 200 at most. `final` once the bill was whole."""

    reconciliation_id: Id
    channel: str
    day: date
    compared_at: Instant
    final: bool
    payments: TotalModel
    refunds: TotalModel
    finding_count: int
    findings: list[FindingModel]


class ReconciliationPage(Page[ReconciliationModel]):
    """Newest day first."""


def reconciliation_model(done: Reconciliation) -> ReconciliationModel:
    return ReconciliationModel(
        reconciliation_id=done.id,
        channel=done.channel,
        day=done.day,
        compared_at=done.compared_at,
        final=done.final,
        payments=TotalModel(count=done.payments.count, amount_fen=done.payments.amount_fen),
        refunds=TotalModel(count=done.refunds.count, amount_fen=done.refunds.amount_fen),
        finding_count=done.finding_count,
        findings=[
            FindingModel(
                difference=each.difference,
                entry=each.entry,
                number=each.number,
                order_id=each.order_id,
                ours_fen=each.ours_fen,
                theirs_fen=each.theirs_fen,
            )
            for each in done.findings
        ],
    )
