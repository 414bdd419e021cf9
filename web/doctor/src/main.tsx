import { Runtime, Shell } from "@yunzhen/shared";
import "@yunzhen/shared/theme.css";
import { type ReactNode, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import "./doctor.css";
import { coverWhenHidden } from "./ui/cover";
import { words } from "./words";

coverWhenHidden();
const runtime = new Runtime({ app: "doctor", role: "doctor" });
const root = document.getElementById("root");
if (root === null) throw new Error("the page has no root");
/** Native elements of our own look: they are whole by keyboard and to screen readers, which phone libraries are not. */
const Native = ({ children }: { children: ReactNode }): ReactNode => children;
createRoot(root).render(
  <StrictMode>
    <Shell runtime={runtime} words={words} Library={Native}>
      <App />
    </Shell>
  </StrictMode>,
);
