import { Loaded, PreferenceTools, format, useApi, usePreferences, useRuntime } from "@yunzhen/shared";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, Button } from "antd";
import type { ReactNode } from "react";
import { AREAS, type Area, maySee } from "../rules/areas";
import { useMe } from "../ui/me";
import { Badge, Panel, Roles, Screen, useTell } from "../ui/parts";
import { useT } from "../words";

function Devices(): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const { language } = usePreferences();
  const queries = useQueryClient();
  const query = useQuery({ queryKey: ["devices"], queryFn: ({ signal }) => api.call("get_me", { signal }) });
  const end = useMutation({
    mutationFn: (session_id: string) => api.call("close_other_session", { path: { session_id } }),
    onError: tell.failed,
    onSettled: () => void queries.invalidateQueries({ queryKey: ["devices"] }),
  });
  return (
    <Loaded query={query}>
      {({ devices }) => (
        <ul className="c-list">
          {devices.map((device) => (
            <li key={device.session_id} className="c-task">
              <div>
                <strong>{device.device_name}</strong> {device.current && <Badge tone="primary">{t("account.devices.current")}</Badge>}
                <p className="c-muted">
                  {t("account.devices.since", { at: format.when(device.signed_in_at, language) })} · {t("account.devices.used", { at: format.when(device.last_used_at, language) })}
                </p>
              </div>
              {!device.current && <Button loading={end.isPending} onClick={() => end.mutate(device.session_id)}>{t("account.devices.end")}</Button>}
            </li>
          ))}
        </ul>
      )}
    </Loaded>
  );
}

export default function Account(): ReactNode {
  const { session } = useRuntime();
  const t = useT();
  const me = useMe();
  return (
    <Screen title={t("account.title")} actions={<Button onClick={() => void session.signOut()}>{t("common.signOut")}</Button>}>
      <Loaded query={me}>
        {({ name, username, roles }) => (
          <>
            {!(Object.keys(AREAS) as Area[]).some((area) => maySee(roles, area)) && <Alert type="info" showIcon title={t("account.nothing")} />}
            <div className="c-columns">
              <Panel title={t("account.devices")} flush><Devices /></Panel>
              <div className="c-screen">
                <Panel title={`${name} · ${username}`}>
                  <p className="c-muted">{t("account.roles")}</p>
                  <Roles roles={roles} />
                </Panel>
                <Panel title={t("account.display")}><PreferenceTools /></Panel>
              </div>
            </div>
          </>
        )}
      </Loaded>
    </Screen>
  );
}
