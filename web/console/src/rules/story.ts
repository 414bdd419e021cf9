/**
 * An order's life as one list: what was recorded, what was said, what moved of money, who looked at records.
 *
 * Audit rows say that something happened; the dossier, where the asker may have it, says what. A row and the thing that it tells of
 * are one line.
 */
import type { Models } from "@yunzhen/shared";

export type Row = Models["AuditRowOut"];
export type Dossier = Models["DossierOut"];
export type Group = "said" | "money" | "records" | "order" | "staff";

export interface Line {
  id: string;
  at: string;
  group: Group;
  /** A code of the audit, or `money.<entry>`. */
  action: string;
  denied: boolean;
  actor: { accountId: string; role: string; name: string | null } | null;
  entry: Dossier["entries"][number] | null;
  view: Dossier["views"][number] | null;
  amountFen: number | null;
}

/** Rows that say again what a posting says. */
const TOLD_BY_MONEY = new Set(["billing.payment_captured", "billing.payment_earned", "billing.refund_reserved", "billing.refund_succeeded"]);

export function groupOf(action: string): Group {
  if (action.startsWith("admin.") || action.startsWith("accounts.")) return "staff";
  if (action.startsWith("im.")) return "said";
  if (action.startsWith("billing.") || action.startsWith("money.") || action === "consult.payment_started") return "money";
  if (action.startsWith("record.") || action.startsWith("critical.") || action === "consult.record_access_changed") return "records";
  return "order";
}

function seqOf(row: Row): number | null {
  if (row.request_id !== null || !row.action.startsWith("im.")) return null;
  const seq = Number(row.subject.split(":")[1]);
  return Number.isInteger(seq) ? seq : null;
}

export function story(rows: readonly Row[], dossier: Dossier | null): Line[] {
  const entries = new Map(dossier?.entries.map((entry) => [entry.seq, entry]));
  const views = new Map(dossier?.views.map((view) => [view.view_id, view]));
  const names = new Map(dossier?.people.map((person) => [person.account_id, person.name]));
  const told = dossier === null ? rows : rows.filter((row) => !TOLD_BY_MONEY.has(row.action) || row.outcome === "denied");
  const lines = told.map((row): Line => {
    const seq = seqOf(row);
    return {
      id: row.audit_id,
      at: row.at,
      group: groupOf(row.action),
      action: row.action,
      denied: row.outcome === "denied",
      actor: { accountId: row.actor.account_id, role: row.actor.role, name: names.get(row.actor.account_id) ?? null },
      entry: seq === null ? null : (entries.get(seq) ?? null),
      view: views.get(row.subject) ?? null,
      amountFen: null,
    };
  });
  const money = (dossier?.postings ?? []).map((posting, n): Line => ({
    id: `posting-${n}`, at: posting.at, group: "money", action: `money.${posting.entry}`, denied: false, actor: null, entry: null, view: null,
    amountFen: posting.amount_fen,
  }));
  // Stable: what happened in one millisecond stays in the order of the audit, and money follows what moved it.
  return [...lines, ...money].sort((a, b) => a.at.localeCompare(b.at));
}
