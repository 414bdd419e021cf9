import { useApi } from "@yunzhen/shared";
import { useQuery } from "@tanstack/react-query";
import { type Area, type StaffRole, maySee } from "../rules/areas";
import type { Models } from "@yunzhen/shared";

/** The member of staff who is signed in, and the roles of this session. */
export function useMe() {
  const api = useApi();
  return useQuery({ queryKey: ["me"], queryFn: ({ signal }) => api.call("get_own_staff_account", { signal }), staleTime: 300_000 });
}

export function useRoles(): readonly StaffRole[] {
  return useMe().data?.roles ?? [];
}

export function useMay(area: Area): boolean {
  return maySee(useRoles(), area);
}

export type Me = Models["StaffAnswer"];
