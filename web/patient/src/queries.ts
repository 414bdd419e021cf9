/** What the server is asked for, by name: one place for keys, so that a change finds all who show it. */
import { type AnswerOf, type Models, useApi } from "@yunzhen/shared";
import { type UseQueryResult, useQuery } from "@tanstack/react-query";
import { type Paged, usePaged } from "./ui/paged";

export type Order = Models["OrderOut"];
export type OrderStatus = Models["OrderStatus"];
export type Doctor = Models["DoctorOut"];
export type Patient = Models["PatientAnswer"];
export type Notice = Models["NoticeOut"];
export type RecordView = Models["RecordViewOut"];
export type Device = Models["DeviceAnswer"];

export const MOST_PATIENTS = 5;
const PAGE = 20;
const LONG_MS = 5 * 60_000;

export function useOrder(id: string): UseQueryResult<Order> {
  const api = useApi();
  return useQuery({ queryKey: ["order", id], queryFn: () => api.call("get_order", { path: { order_id: id } }) });
}

export function useOrders(status: OrderStatus | null): Paged<Order> {
  const api = useApi();
  return usePaged(["orders", status], (cursor) =>
    api.call("list_orders", { query: { limit: PAGE, ...(status === null ? {} : { status }), ...(cursor === null ? {} : { cursor }) } }),
  );
}

export function useDepartments(): UseQueryResult<AnswerOf<"list_departments">> {
  const api = useApi();
  return useQuery({ queryKey: ["departments"], queryFn: () => api.call("list_departments"), staleTime: LONG_MS });
}

export function useQuickOffers(): UseQueryResult<Models["QuickOfferOut"][]> {
  const api = useApi();
  return useQuery({ queryKey: ["quick"], queryFn: async () => (await api.call("list_quick_offers")).items });
}

export interface DoctorSearch {
  q: string;
  departmentId: string | null;
  accepting: boolean;
}

export function useDoctors({ q, departmentId, accepting }: DoctorSearch): Paged<Doctor> {
  const api = useApi();
  return usePaged(["doctors", q, departmentId, accepting], (cursor) =>
    api.call("list_doctors", {
      query: {
        limit: PAGE,
        ...(q === "" ? {} : { q }),
        ...(departmentId === null ? {} : { department_id: departmentId }),
        ...(accepting ? { accepting } : {}),
        ...(cursor === null ? {} : { cursor }),
      },
    }),
  );
}

export function useDoctor(id: string): UseQueryResult<Doctor> {
  const api = useApi();
  return useQuery({ queryKey: ["doctor", id], queryFn: () => api.call("get_doctor", { path: { doctor_id: id } }) });
}

export function usePatients(): UseQueryResult<Patient[]> {
  const api = useApi();
  return useQuery({ queryKey: ["patients"], queryFn: async () => (await api.call("list_patients")).items });
}

export function useNotices(): Paged<Notice> {
  const api = useApi();
  return usePaged(["notices", "list"], (cursor) => api.call("list_notices", { query: { limit: PAGE, ...(cursor === null ? {} : { cursor }) } }));
}

export function useBadge(): number {
  const api = useApi();
  const { data } = useQuery({ queryKey: ["notices", "badge"], queryFn: () => api.call("get_notice_badge") });
  return data?.unread ?? 0;
}

export function useRecordViews(orderId: string): Paged<RecordView> {
  const api = useApi();
  return usePaged(["record-views", orderId], (cursor) =>
    api.call("list_record_views", { path: { order_id: orderId }, query: { limit: PAGE, ...(cursor === null ? {} : { cursor }) } }),
  );
}

export function useMe(): UseQueryResult<AnswerOf<"get_me">> {
  const api = useApi();
  return useQuery({ queryKey: ["me"], queryFn: () => api.call("get_me") });
}
