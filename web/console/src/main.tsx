import { Runtime, Shell } from "@yunzhen/shared";
import "@yunzhen/shared/theme.css";
import "./console.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Library } from "./Library";
import { App } from "./App";
import { words } from "./words";

const runtime = new Runtime({ app: "console", role: "staff" });
const root = document.getElementById("root");
if (root === null) throw new Error("the page has no root");
createRoot(root).render(
  <StrictMode>
    <Shell runtime={runtime} words={words} Library={Library}>
      <App />
    </Shell>
  </StrictMode>,
);
