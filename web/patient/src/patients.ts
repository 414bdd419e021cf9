/** What can be said of a patient's form before the server is asked, which has the last word. */

export type IdType = "resident" | "passport" | "permit" | "birth_certificate";
export const ID_TYPES: readonly IdType[] = ["resident", "passport", "permit", "birth_certificate"];

const WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS = "10X98765432";
const ADULT_YEARS = 18;

export const normal = (number: string): string => number.replace(/\s/g, "").toUpperCase();

/** GB 11643-1999: form, day of birth and check character. */
export function isResidentNumber(given: string): boolean {
  const number = normal(given);
  if (!/^[1-8]\d{16}[\dX]$/.test(number)) return false;
  const sum = WEIGHTS.reduce((all, weight, index) => all + weight * Number(number[index]), 0);
  return CHECKS[sum % 11] === number[17] && birthOf(number) !== null;
}

/** The day of birth in a resident number, `YYYY-MM-DD`; null where it holds none. */
export function birthOf(given: string): string | null {
  const number = normal(given);
  const [year, month, day] = [number.slice(6, 10), number.slice(10, 12), number.slice(12, 14)];
  const date = new Date(`${year}-${month}-${day}T00:00:00Z`);
  const text = `${year}-${month}-${day}`;
  return Number.isNaN(date.getTime()) || date.toISOString().slice(0, 10) !== text ? null : text;
}

/** Under eighteen on `today` (`YYYY-MM-DD`, the day in China). */
export function isMinor(birth: string, today: string): boolean {
  const eighteenth = `${String(Number(birth.slice(0, 4)) + ADULT_YEARS)}${birth.slice(4)}`;
  return today < eighteenth;
}

export const dayInChina = (now: number): string => new Date(now + 8 * 3_600_000).toISOString().slice(0, 10);

export interface PatientForm {
  name: string;
  id_type: IdType;
  id_number: string;
  phone: string;
  birth_date: string;
  sex: "male" | "female" | "";
  guardian_name: string;
  guardian_id: string;
  default: boolean;
}

export type FormError = "name" | "id_number" | "phone" | "birth_date" | "sex" | "guardian_name" | "guardian_id" | "guardian_adult" | "guardian_same";

/** The day of birth that counts: from the number where it says one. */
export const birthIn = (form: PatientForm): string | null =>
  form.id_type === "resident" ? (isResidentNumber(form.id_number) ? birthOf(form.id_number) : null) : form.birth_date || null;

export function needsGuardian(form: PatientForm, today: string): boolean {
  const birth = birthIn(form);
  return form.id_type === "birth_certificate" || (birth !== null && isMinor(birth, today));
}

/** What is wrong, by the field that it stands at. */
export function check(form: PatientForm, today: string): Partial<Record<keyof PatientForm, FormError>> {
  const wrong: Partial<Record<keyof PatientForm, FormError>> = {};
  if (form.name.trim() === "") wrong.name = "name";
  if (!/^1[3-9]\d{9}$/.test(form.phone)) wrong.phone = "phone";
  if (form.id_type === "resident" ? !isResidentNumber(form.id_number) : normal(form.id_number).length < 5) wrong.id_number = "id_number";
  if (form.id_type !== "resident" && form.birth_date === "") wrong.birth_date = "birth_date";
  if (form.id_type !== "resident" && form.sex === "") wrong.sex = "sex";
  if (!needsGuardian(form, today)) return wrong;
  if (form.guardian_name.trim() === "") wrong.guardian_name = "guardian_name";
  if (!isResidentNumber(form.guardian_id)) wrong.guardian_id = "guardian_id";
  else if (isMinor(birthOf(form.guardian_id) ?? today, today)) wrong.guardian_id = "guardian_adult";
  else if (normal(form.guardian_id) === normal(form.id_number)) wrong.guardian_id = "guardian_same";
  return wrong;
}
