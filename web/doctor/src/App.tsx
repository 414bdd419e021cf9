import { Loading } from "@yunzhen/shared";
import { useMediaQueue } from "@yunzhen/shared/chat/queue";
import { type ReactNode, Suspense, lazy } from "react";
import { Route, Routes } from "react-router";
import { Frame } from "./screens/Frame";
import { ToastProvider } from "./ui/Toast";

// One line a screen: each is its own file, loaded when it is first shown.
const Desk = lazy(() => import("./screens/Desk"));
const Notices = lazy(() => import("./screens/Notices"));
const Figures = lazy(() => import("./screens/Figures"));
const Settings = lazy(() => import("./screens/Settings"));

export function App(): ReactNode {
  useMediaQueue();
  return (
    <ToastProvider>
      <Frame>
        <Suspense fallback={<Loading />}>
          <Routes>
            <Route path="/notices" element={<Notices />} />
            <Route path="/figures" element={<Figures />} />
            <Route path="/settings" element={<Settings />} />
            <Route path="/orders/:orderId" element={<Desk />} />
            <Route path="*" element={<Desk />} />
          </Routes>
        </Suspense>
      </Frame>
    </ToastProvider>
  );
}
