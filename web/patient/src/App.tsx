import { type ReactNode, Suspense, lazy } from "react";
import { Loading } from "@yunzhen/shared";
import { Route, Routes } from "react-router";

// One line a screen: each is its own file, loaded when it is first shown.
const Home = lazy(() => import("./screens/Home"));

export function App(): ReactNode {
  return (
    <Suspense fallback={<Loading />}>
      <Routes>
        <Route path="*" element={<Home />} />
      </Routes>
    </Suspense>
  );
}
