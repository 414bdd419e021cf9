import { Loading } from "@yunzhen/shared";
import { App as Antd } from "antd";
import { type ReactNode, Suspense, lazy } from "react";
import { Navigate, Route, Routes } from "react-router";
import { homeOf } from "./rules/areas";
import { Frame } from "./ui/Frame";
import { useRoles } from "./ui/me";

// One line a screen: each is its own file, loaded when it is first shown.
const Board = lazy(() => import("./screens/Board"));
const Orders = lazy(() => import("./screens/Orders"));
const OrderScreen = lazy(() => import("./screens/Order"));
const Tasks = lazy(() => import("./screens/Tasks"));
const Refunds = lazy(() => import("./screens/Refunds"));
const Audit = lazy(() => import("./screens/Audit"));
const Trace = lazy(() => import("./screens/Trace"));
const Reveals = lazy(() => import("./screens/Reveals"));
const Figures = lazy(() => import("./screens/Figures"));
const Doctors = lazy(() => import("./screens/Doctors"));
const Staff = lazy(() => import("./screens/Staff"));
const Sentences = lazy(() => import("./screens/Sentences"));
const Policy = lazy(() => import("./screens/Policy"));
const Hl7 = lazy(() => import("./screens/Hl7"));
const Account = lazy(() => import("./screens/Account"));

function Home(): ReactNode {
  const home = homeOf(useRoles());
  return home === "/" ? <Board /> : <Navigate to={home} replace />;
}

export function App(): ReactNode {
  return (
    <Antd component={false}>
      <Frame>
        <Suspense fallback={<Loading />}>
          <Routes>
            <Route path="orders" element={<Orders />} />
            <Route path="orders/:orderId" element={<OrderScreen />} />
            <Route path="tasks" element={<Tasks />} />
            <Route path="refunds" element={<Refunds />} />
            <Route path="audit" element={<Audit />} />
            <Route path="trace" element={<Trace />} />
            <Route path="reveals" element={<Reveals />} />
            <Route path="figures" element={<Figures />} />
            <Route path="doctors" element={<Doctors />} />
            <Route path="staff" element={<Staff />} />
            <Route path="sentences" element={<Sentences />} />
            <Route path="policy" element={<Policy />} />
            <Route path="hl7" element={<Hl7 />} />
            <Route path="account" element={<Account />} />
            <Route path="*" element={<Home />} />
          </Routes>
        </Suspense>
      </Frame>
    </Antd>
  );
}
