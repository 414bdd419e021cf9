/** Which staff see which part of the console: the server's own allow-lists, so that nobody is shown a door that stays shut. */
import type { Models } from "@yunzhen/shared";

export type StaffRole = Models["StaffAnswer"]["roles"][number];
export const ROLES = ["medical_admin", "finance", "auditor", "agent", "operator"] as const satisfies readonly StaffRole[];

export const AREAS = {
  board: ["medical_admin", "agent", "auditor", "finance"],
  orders: ["medical_admin", "agent", "auditor"],
  dossier: ["medical_admin", "auditor"],
  export: ["medical_admin", "auditor"],
  tasks: ["medical_admin", "agent"],
  refunds: ["finance", "medical_admin"],
  restart: ["finance"],
  audit: ["auditor", "medical_admin"],
  trace: ["auditor", "medical_admin"],
  said: ["auditor"],
  reveals: ["auditor", "medical_admin"],
  revealAsk: ["auditor"],
  revealAnswer: ["medical_admin"],
  figures: ["finance", "medical_admin"],
  doctors: ["medical_admin"],
  policy: ["medical_admin"],
  staff: ["operator", "auditor"],
  sentences: ["medical_admin"],
  hl7: ["operator"],
} as const satisfies Record<string, readonly StaffRole[]>;

export type Area = keyof typeof AREAS;

export function maySee(roles: readonly StaffRole[], area: Area): boolean {
  return AREAS[area].some((role) => roles.includes(role));
}

/** Whose accounts are whose to keep: auditors' by auditors, all others by operators. */
export const keeperOf = (roles: readonly StaffRole[]): StaffRole => (roles.includes("auditor") ? "auditor" : "operator");

/** Who must agree before such an account's keeper renews what its member signs in with. */
export const otherOffice = (keeper: StaffRole): StaffRole => (keeper === "auditor" ? "operator" : "auditor");

/** The roles that whoever holds `mine` may give, at first or to a member who holds `theirs`: an auditor's account stays one and has no other. */
export function givable(mine: readonly StaffRole[], theirs: readonly StaffRole[] | null): StaffRole[] {
  return ROLES.filter((role) => mine.includes(keeperOf([role])) && (theirs === null || keeperOf([role]) === keeperOf(theirs)));
}

/** Roles after one is chosen or given up: the office that watches goes with none of those that act. */
export function withRole(roles: readonly StaffRole[], role: StaffRole, on: boolean): StaffRole[] {
  const others = roles.filter((each) => each !== role);
  return on ? [...others.filter((each) => keeperOf([each]) === keeperOf([role])), role] : others;
}

/** Where a member of staff begins: the first screen that is theirs. */
export function homeOf(roles: readonly StaffRole[]): string {
  return maySee(roles, "board") ? "/" : maySee(roles, "staff") ? "/staff" : "/account";
}
