import { DirectionProvider, MantineProvider, useDirection } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { BrowserRouter, Link, Navigate, Route, Routes, useLocation } from "react-router";
import { AccountProvider, useAccount } from "./account/account";
import { ApiError } from "./api/client";
import { directionOf } from "./i18n";
import { AttendancePage } from "./pages/attendance";
import { Catalogue } from "./pages/catalogue";
import { CoursePage } from "./pages/course";
import { NetworkTestPage } from "./pages/network-test";
import { Sessions } from "./pages/sessions";
import { SignIn } from "./pages/sign-in";
import { Empty, Shell, Waiting } from "./shell/shell";
import { theme } from "./theme";

// The classroom is the largest part and is loaded when somebody goes to class.
const ClassroomPage = lazy(() => import("./pages/classroom/page"));
const LessonPage = lazy(() => import("./pages/lesson"));

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // A refusal stays a refusal; only a lost connection is worth asking again.
      retry: (count, error) => count < 2 && !(error instanceof ApiError && error.status >= 400),
      staleTime: 2_000,
    },
  },
});

export function App() {
  return (
    <DirectionProvider detectDirection>
      <MantineProvider theme={theme} defaultColorScheme="light">
        <Direction />
        <Notifications position="top-center" />
        <QueryClientProvider client={queries}>
          <AccountProvider>
            <BrowserRouter>
              <Pages />
            </BrowserRouter>
          </AccountProvider>
        </QueryClientProvider>
      </MantineProvider>
    </DirectionProvider>
  );
}

/** Keep Mantine's direction that of the language. */
function Direction() {
  const { i18n } = useTranslation();
  const { setDirection } = useDirection();
  useEffect(() => {
    setDirection(directionOf(i18n.language));
  }, [i18n.language, setDirection]);
  return null;
}

function Pages() {
  return (
    <Routes>
      <Route element={<Shell />}>
        <Route index element={<Catalogue />} />
        <Route path="courses/:course" element={<CoursePage />} />
        <Route
          path="lessons/:lesson"
          element={
            <Suspense fallback={<Waiting />}>
              <LessonPage />
            </Suspense>
          }
        />
        <Route path="sign-in" element={<SignIn key="in" fresh={false} />} />
        <Route path="sign-up" element={<SignIn key="up" fresh />} />
        <Route path="classes" element={<SignedIn page={<Sessions />} />} />
        <Route
          path="classes/:session/attendance"
          element={<SignedIn page={<AttendancePage />} />}
        />
        <Route path="network-test" element={<SignedIn page={<NetworkTestPage />} />} />
        <Route path="*" element={<NotFound />} />
      </Route>
      <Route
        path="classes/:session"
        element={
          <SignedIn
            page={
              <Suspense fallback={<Waiting />}>
                <ClassroomPage />
              </Suspense>
            }
          />
        }
      />
    </Routes>
  );
}

function SignedIn({ page }: { page: ReactNode }) {
  const { user } = useAccount();
  const location = useLocation();
  if (user === undefined) return <Waiting />;
  if (user === null) return <Navigate to="/sign-in" state={{ from: location.pathname }} replace />;
  return page;
}

function NotFound() {
  const { t } = useTranslation();
  return (
    <Empty>
      {t("common.notFound")} · <Link to="/">{t("common.home")}</Link>
    </Empty>
  );
}
