import { type ReactNode, Suspense, lazy } from "react";
import { useT } from "./words";
import { Route, Routes } from "react-router";
import { Tabs } from "./ui/Tabs";
import { Skeleton } from "./ui/bits";
import { Toasts } from "./ui/toast";
import { useOfflineCopies } from "./offline/copies";
import { usePushUpkeep } from "./push";
import { useMediaQueue } from "@yunzhen/shared/chat/queue";

// One line a screen: each is its own file, loaded when it is first shown.
const Home = lazy(() => import("./screens/Home"));
const Doctors = lazy(() => import("./screens/Doctors"));
const Doctor = lazy(() => import("./screens/Doctor"));
const NewOrder = lazy(() => import("./screens/NewOrder"));
const Quick = lazy(() => import("./screens/Quick"));
const QuickOrder = lazy(() => import("./screens/NewOrder").then(({ QuickOrder: screen }) => ({ default: screen })));
const Pay = lazy(() => import("./screens/Pay"));
const Orders = lazy(() => import("./screens/Orders"));
const Order = lazy(() => import("./screens/Order"));
const Chat = lazy(() => import("./screens/Chat"));
const Search = lazy(() => import("./screens/Search"));
const Rate = lazy(() => import("./screens/Rate"));
const RecordViews = lazy(() => import("./screens/RecordViews"));
const Notices = lazy(() => import("./screens/Notices"));
const Me = lazy(() => import("./screens/Me"));
const Patients = lazy(() => import("./screens/Patients"));
const PatientForm = lazy(() => import("./screens/PatientForm"));
const Settings = lazy(() => import("./screens/Settings"));
const Devices = lazy(() => import("./screens/Devices"));
const Password = lazy(() => import("./screens/Password"));
const Lost = lazy(() => import("./screens/Lost"));

export function App(): ReactNode {
  const t = useT();
  const restored = useOfflineCopies();
  useMediaQueue();
  usePushUpkeep();
  if (!restored) return <Skeleton label={t("common.loading")} />;
  return (
    <Toasts>
      <Suspense fallback={<Skeleton label={t("common.loading")} />}>
        <Routes>
          <Route element={<Tabs />}>
            <Route index element={<Home />} />
            <Route path="orders" element={<Orders />} />
            <Route path="notices" element={<Notices />} />
            <Route path="me" element={<Me />} />
          </Route>
          <Route path="doctors" element={<Doctors />} />
          <Route path="doctors/:id" element={<Doctor />} />
          <Route path="doctors/:id/order" element={<NewOrder />} />
          <Route path="search" element={<Search />} />
          <Route path="quick" element={<Quick />} />
          <Route path="quick/:id" element={<QuickOrder />} />
          <Route path="orders/:id" element={<Order />} />
          <Route path="orders/:id/pay" element={<Pay />} />
          <Route path="orders/:id/chat" element={<Chat />} />
          <Route path="orders/:id/rate" element={<Rate />} />
          <Route path="orders/:id/views" element={<RecordViews />} />
          <Route path="patients" element={<Patients />} />
          <Route path="patients/new" element={<PatientForm />} />
          <Route path="patients/:id" element={<PatientForm />} />
          <Route path="settings" element={<Settings />} />
          <Route path="devices" element={<Devices />} />
          <Route path="password" element={<Password />} />
          <Route path="*" element={<Lost />} />
        </Routes>
      </Suspense>
    </Toasts>
  );
}
