import { newKey, useApi } from "@yunzhen/shared";
import { useMutation } from "@tanstack/react-query";
import { Button, Input, Modal } from "antd";
import { type ReactNode, useId, useState } from "react";
import { useT } from "../words";
import { Problem, useTell } from "./parts";

const LEAST_REASON = 4;
const MOST_REASON = 500;

/** Ask for what was taken back: a second person reads why, and agrees or not. */
export function AskReveal({ orderId, seq }: { orderId: string; seq: number }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const id = useId();
  const [open, setOpen] = useState(false);
  const [reason, setReason] = useState("");
  const [key] = useState(newKey);
  const ask = useMutation({
    mutationFn: () => api.call("ask_reveal", { path: { order_id: orderId }, body: { seq, reason: reason.trim() }, idempotencyKey: key }),
    onSuccess: () => {
      tell.done("reveal.sent");
      setOpen(false);
    },
  });
  return (
    <>
      <Button size="small" onClick={() => setOpen(true)}>{t("reveal.ask")}</Button>
      <Modal
        title={t("reveal.ask.title", { seq })} open={open} onCancel={() => setOpen(false)} onOk={() => ask.mutate()} confirmLoading={ask.isPending}
        okText={t("reveal.ask")} okButtonProps={{ disabled: reason.trim().length < LEAST_REASON }} cancelText={t("common.cancel")} destroyOnHidden
      >
        <div className="c-form">
          <p>{t("reveal.ask.text")}</p>
          <div className="c-form__row">
            <label className="c-form__label" htmlFor={id}>{t("reveal.reason")}</label>
            <Input.TextArea id={id} rows={3} maxLength={MOST_REASON} value={reason} onChange={(event) => setReason(event.target.value)} />
          </div>
          {ask.isError && <Problem error={ask.error} />}
        </div>
      </Modal>
    </>
  );
}
