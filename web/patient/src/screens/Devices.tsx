import { format, useApi, usePreferences } from "@yunzhen/shared";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { type Device, useMe } from "../queries";
import { Card, Tag } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { Page } from "../ui/Page";
import { Confirm } from "../ui/Sheet";
import { Loaded } from "../ui/Trouble";
import { useTellFailure, useToast } from "../ui/toast";
import { useT } from "../words";

export default function Devices(): ReactNode {
  const t = useT();
  const query = useMe();
  return (
    <Page title={t("devices.title")} up="/me">
      <p className="p-lead">{t("devices.lead")}</p>
      <Loaded query={query}>{({ devices }) => <ul className="p-list p-list--tight">{devices.map((device) => <Row key={device.session_id} device={device} />)}</ul>}</Loaded>
    </Page>
  );
}

function Row({ device }: { device: Device }): ReactNode {
  const t = useT();
  const api = useApi();
  const tell = useToast();
  const fail = useTellFailure();
  const queries = useQueryClient();
  const { language } = usePreferences();
  const [asking, setAsking] = useState(false);
  const end = async (): Promise<void> => {
    try {
      await api.call("close_other_session", { path: { session_id: device.session_id } });
      tell(t("devices.ended"));
    } catch (error) {
      fail(error);
    }
    setAsking(false);
    await queries.invalidateQueries({ queryKey: ["me"] });
  };
  return (
    <li>
      <Card className="p-strip">
        <span className="p-row__icon"><Icon name="phone" /></span>
        <p>
          <strong>{device.device_name} {device.current && <Tag kind="good">{t("devices.this")}</Tag>}</strong>
          <small>{t("devices.used", { at: format.when(device.last_used_at, language) })}</small>
          <small>{t("devices.since", { at: format.when(device.signed_in_at, language) })}</small>
        </p>
        {!device.current && <button type="button" className="yz-button yz-button--quiet" onClick={() => setAsking(true)}>{t("devices.end")}</button>}
      </Card>
      {asking && <Confirm danger title={t("devices.end")} text={t("devices.end.text", { name: device.device_name })} confirm={t("devices.end")} onConfirm={() => void end()} onClose={() => setAsking(false)} />}
    </li>
  );
}
