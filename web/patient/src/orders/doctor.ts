/** Who an order is with, in words: a quick consult is with nobody until a doctor of its department takes it. */
import type { Order } from "../queries";
import type { useT } from "../words";

export const isWithDoctor = (order: Order): boolean => order.doctor.id !== "";

export function doctorName(order: Order, t: ReturnType<typeof useT>): string {
  return isWithDoctor(order) ? order.doctor.name : t("quick.nobody");
}

export function doctorAbout(order: Order): string {
  return [order.doctor.title, order.doctor.department].filter((word) => word !== "").join(" · ");
}

/** Where the same could be asked again. */
export function askAgain(order: Order): string {
  return isWithDoctor(order) ? `/doctors/${order.doctor.id}` : "/quick";
}
