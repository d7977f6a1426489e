import { Badge, Button, Card, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useAccount } from "../account/account";
import { api, type LiveSession } from "../api/client";
import { Empty, Failure, PageTitle, Waiting } from "../shell/shell";
import { useWhen } from "./format";
import classes from "./pages.module.css";

const COLORS = { live: "red", scheduled: "pine", ended: "gray", cancelled: "gray" } as const;

export function Sessions() {
  const { t } = useTranslation();
  const { user } = useAccount();
  const query = useQuery({
    queryKey: ["sessions"],
    queryFn: () => api.sessions(),
    refetchInterval: 5_000,
  });
  if (query.isPending) return <Waiting />;
  if (query.isError) return <Failure error={query.error} retry={query.refetch} />;
  const of = (...wanted: string[]) => query.data.items.filter((s) => wanted.includes(s.status));
  const groups = [
    [t("sessions.now"), of("live")],
    [t("sessions.later"), of("scheduled")],
    [t("sessions.past"), of("ended", "cancelled")],
  ] as const;
  return (
    <>
      <PageTitle title={t("sessions.title")} lead={t("sessions.lead")} />
      {query.data.items.length === 0 && (
        <Empty>{user?.role === "student" ? t("sessions.empty") : t("sessions.emptyTeacher")}</Empty>
      )}
      <Stack gap="xl">
        {groups.map(
          ([title, sessions]) =>
            sessions.length > 0 && (
              <Stack key={title} gap="sm">
                <Text component="h2" fw={700} fz="lg" m={0}>
                  {title}
                </Text>
                {sessions.map((session) => (
                  <SessionCard key={session.id} session={session} />
                ))}
              </Stack>
            ),
        )}
      </Stack>
    </>
  );
}

export function SessionCard({ session }: { session: LiveSession }) {
  const { t } = useTranslation();
  const when = useWhen();
  const { user } = useAccount();
  const open = session.status === "live" || session.status === "scheduled";
  const entry = session.isStaff
    ? t(session.status === "live" ? "sessions.enter" : "sessions.open")
    : t(session.status === "live" ? "sessions.join" : "sessions.open");
  const report = (session.isStaff || user?.role === "admin") && session.startedAt;
  return (
    <Card withBorder padding="md" className={classes.session ?? ""} data-status={session.status}>
      <Group justify="space-between" gap="md">
        <Stack gap={4} style={{ flex: "1 1 240px" }}>
          <Group gap="xs">
            <Badge
              color={COLORS[session.status]}
              variant={session.status === "live" ? "filled" : "light"}
              leftSection={
                session.status === "live" ? <span className={classes.pulse} /> : undefined
              }
            >
              {t(`sessions.${session.status}`)}
            </Badge>
            <Text size="sm" c="dimmed">
              {when.moment(session.startTime)} · {t("common.minutes", { count: session.duration })}
            </Text>
          </Group>
          <Text fw={700} fz="lg" lh={1.35}>
            <bdi>{session.title}</bdi>
          </Text>
          <Text size="sm" c="dimmed">
            <bdi>{session.courseTitle}</bdi>
          </Text>
          {session.status === "live" && (
            <Text size="sm">
              {t("common.seats", { taken: session.currentStudents, total: session.maxStudents })}
            </Text>
          )}
        </Stack>
        <Group gap="xs">
          {report && (
            <Button component={Link} to={`/classes/${session.id}/attendance`} variant="default">
              {t("sessions.attendance")}
            </Button>
          )}
          {open && user?.role !== "admin" && (
            <Button component={Link} to={`/classes/${session.id}`}>
              {entry}
            </Button>
          )}
        </Group>
      </Group>
    </Card>
  );
}
