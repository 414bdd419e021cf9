import { Runtime, Shell } from "@yunzhen/shared";
import "@yunzhen/shared/theme.css";
import "./patient.css";
import { Fragment, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { words } from "./words";

const runtime = new Runtime({ app: "patient", role: "patient", keepsConversations: true });
const root = document.getElementById("root");
if (root === null) throw new Error("the page has no root");
createRoot(root).render(
  <StrictMode>
    <Shell runtime={runtime} words={words} Library={Fragment}>
      <App />
    </Shell>
  </StrictMode>,
);

if (import.meta.env.PROD && "serviceWorker" in navigator) {
  // After the first screen, so that it waits for nothing.
  addEventListener("load", () => void navigator.serviceWorker.register("/patient/sw.js").catch(() => undefined));
}
