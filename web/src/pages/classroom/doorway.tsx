import { Button, Center, Loader, Stack, Text, ThemeIcon } from "@mantine/core";
import {
  IconAlertCircle,
  IconArmchair,
  IconCalendarX,
  IconClockHour4,
  IconDevices,
  IconDoorExit,
  IconExternalLink,
  IconFlag,
} from "@tabler/icons-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useWhen } from "../format";
import type { ClassSession, ClassState } from "./class-session";
import classes from "./classroom.module.css";

/** Everything that is not the class itself: waiting, full, over. No state is without a next step. */
export function Doorway({ room, state }: { room: ClassSession; state: ClassState }) {
  const { t } = useTranslation();
  const when = useWhen();
  const { session } = state;
  const back = (
    <Button component={Link} to="/classes" variant="default">
      {t("sessions.title")}
    </Button>
  );
  const again = (label: string) => (
    <Button onClick={() => room.join()} size="md">
      {label}
    </Button>
  );
  switch (state.phase) {
    case "joining":
      return (
        <Door
          icon={<Loader size="sm" />}
          title={t("room.phase.joining")}
          session={session?.title}
        />
      );
    case "waiting":
      return (
        <Door
          icon={<IconClockHour4 />}
          title={t("room.phase.waitingTitle")}
          lead={t("room.phase.waitingLead")}
          session={session?.title}
          busy
        >
          {session && (
            <Text size="sm">
              {t("room.phase.startsIn", { time: when.moment(session.startTime) })}
            </Text>
          )}
          {back}
        </Door>
      );
    case "full":
      return (
        <Door
          icon={<IconArmchair />}
          title={t("room.phase.fullTitle")}
          lead={t("room.phase.fullLead", { total: session?.maxStudents ?? "" })}
          session={session?.title}
          busy
        >
          {back}
        </Door>
      );
    case "ended":
      return (
        <Door
          icon={<IconFlag />}
          title={t("room.phase.endedTitle")}
          lead={t("room.phase.endedLead")}
          session={session?.title}
        >
          {session?.isStaff && (
            <Button component={Link} to={`/classes/${room.id}/attendance`}>
              {t("sessions.attendance")}
            </Button>
          )}
          {back}
        </Door>
      );
    case "cancelled":
      return (
        <Door
          icon={<IconCalendarX />}
          title={t("room.phase.cancelledTitle")}
          lead={t("room.phase.cancelledLead")}
          session={session?.title}
        >
          {back}
        </Door>
      );
    case "superseded":
      return (
        <Door
          icon={<IconDevices />}
          title={t("room.phase.supersededTitle")}
          lead={t("room.phase.supersededLead")}
          session={session?.title}
        >
          {again(t("room.phase.takeOver"))}
          {back}
        </Door>
      );
    case "elsewhere":
      return (
        <Door
          icon={<IconExternalLink />}
          title={t("room.phase.elsewhereTitle")}
          lead={t("room.phase.elsewhereLead")}
          session={session?.title}
        >
          <Button
            component="a"
            href={state.elsewhere ?? ""}
            target="_blank"
            rel="noopener noreferrer"
            size="md"
          >
            {t("room.phase.elsewhereOpen")}
          </Button>
          {back}
        </Door>
      );
    case "removed":
      return (
        <Door
          icon={<IconDoorExit />}
          title={t("room.phase.removedTitle")}
          lead={t("room.phase.removedLead")}
          session={session?.title}
        >
          {back}
        </Door>
      );
    case "lost":
      return (
        <Door
          icon={<IconClockHour4 />}
          title={t("room.phase.lostTitle")}
          lead={t("room.phase.lostLead")}
          session={session?.title}
        >
          {again(t("room.phase.rejoin"))}
          {back}
        </Door>
      );
    case "left":
      return (
        <Door
          icon={<IconDoorExit />}
          title={t("room.phase.leftTitle")}
          lead={t(session?.isStaff ? "room.phase.leftStaffLead" : "room.phase.leftLead")}
          session={session?.title}
        >
          {again(t("room.phase.rejoin"))}
          {back}
        </Door>
      );
    default:
      return (
        <Door
          icon={<IconAlertCircle />}
          title={state.error?.title ? state.error.title : t("room.phase.errorTitle")}
          lead={state.error?.detail}
        >
          {state.error?.code === "not_enrolled" && (
            <Button component={Link} to={`/courses/${String(state.error.problem?.["courseId"])}`}>
              {t("course.enroll")}
            </Button>
          )}
          {back}
        </Door>
      );
  }
}

interface DoorProps {
  icon: ReactNode;
  title: string;
  lead?: string | undefined;
  session?: string | undefined;
  busy?: boolean;
  children?: ReactNode;
}

function Door({ icon, title, lead, session, busy, children }: DoorProps) {
  return (
    <Center mih="100dvh" p="md" className={classes.doorway ?? ""}>
      <Stack align="center" gap="sm" maw={440} role="status">
        <ThemeIcon size={64} radius="xl" variant="light" color="amber">
          {icon}
        </ThemeIcon>
        {session && (
          <Text size="sm" c="pine.1" dir="auto" ta="center">
            {session}
          </Text>
        )}
        <Text component="h1" m={0} fz={26} fw={800} ta="center">
          {title}
        </Text>
        {lead && <Text ta="center">{lead}</Text>}
        {busy && <Loader type="dots" color="amber.4" />}
        <Stack gap="xs" mt="sm" align="center">
          {children}
        </Stack>
      </Stack>
    </Center>
  );
}
