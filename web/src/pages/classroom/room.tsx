import { ActionIcon, Badge, Group, Popover, Text, Tooltip } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { IconBroadcast, IconMessage, IconUsers, IconX } from "@tabler/icons-react";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useWhen } from "../format";
import type { ClassSession, ClassState } from "./class-session";
import { Chat } from "./chat";
import classes from "./classroom.module.css";
import { Controls } from "./controls";
import { DataUse } from "./data-use";
import { People } from "./people";
import { ProgramKey } from "./program-key";
import { Sound, Stage } from "./stage";

type Panel = "people" | "chat" | null;
const WIDE = "(min-width: 62em)";

/** The class itself. */
export function Room({ room, state }: { room: ClassSession; state: ClassState }) {
  const { t } = useTranslation();
  const [panel, setPanel] = useState<Panel>(() => (matchMedia(WIDE).matches ? "people" : null));
  const [read, setRead] = useState(() => state.chat.length);
  useNotices(room, state);
  const others = state.chat.filter((message) => message.userId !== state.me?.userId).length;
  const unread = panel === "chat" ? 0 : Math.max(0, others - read);
  const open = (wanted: Panel) => {
    setRead(others);
    setPanel(panel === wanted ? null : wanted);
  };
  const hands = [...state.attendees.values()].filter((one) => one.hand).length;
  return (
    <div className={classes.room} data-panel={panel ?? "none"}>
      <header className={classes.bar}>
        <Text fw={700} truncate className={classes.title ?? ""}>
          <bdi>{state.session?.title}</bdi>
        </Text>
        <Group gap="xs" wrap="nowrap">
          {state.session?.startedAt && <Elapsed since={state.session.startedAt} />}
          {state.session?.isStaff && <Encoder session={state.session.id} />}
          <DataUse room={room} state={state} />
          <Tooltip label={t("room.people")}>
            <ActionIcon
              size="lg"
              variant={panel === "people" ? "filled" : "subtle"}
              color="pine.4"
              onClick={() => {
                open("people");
              }}
              aria-label={t("room.people")}
              aria-pressed={panel === "people"}
            >
              <IconUsers size={20} />
              {hands > 0 && <span className={classes.dot}>{hands}</span>}
            </ActionIcon>
          </Tooltip>
          <Tooltip label={t("room.chat")}>
            <ActionIcon
              size="lg"
              variant={panel === "chat" ? "filled" : "subtle"}
              color="pine.4"
              onClick={() => {
                open("chat");
              }}
              aria-label={t("room.chat")}
              aria-pressed={panel === "chat"}
            >
              <IconMessage size={20} />
              {unread > 0 && <span className={classes.dot}>{Math.min(unread, 99)}</span>}
            </ActionIcon>
          </Tooltip>
        </Group>
      </header>
      <main className={classes.stage}>
        {state.phase === "reconnecting" && (
          <div className={classes.strip} role="status">
            {t("room.phase.reconnecting")}
          </div>
        )}
        {state.phase === "in" && (state.link === "disconnected" || state.link === "failed") && (
          <div className={classes.strip} role="status">
            {t("room.phase.mediaReconnecting")}
          </div>
        )}
        <Stage room={room} state={state} />
      </main>
      <Sound state={state} />
      {panel && (
        <aside className={classes.panel} aria-label={t(`room.${panel}`)}>
          <Group justify="space-between" px="md" py="xs">
            <Group gap="xs">
              <Text fw={700}>{t(`room.${panel}`)}</Text>
              {panel === "people" && (
                <Badge variant="light" color="pine">
                  {state.attendees.size}
                </Badge>
              )}
            </Group>
            <ActionIcon
              variant="subtle"
              color="gray"
              onClick={() => {
                open(null);
              }}
              aria-label={t("common.close")}
            >
              <IconX size={18} />
            </ActionIcon>
          </Group>
          {panel === "people" ? (
            <People room={room} state={state} />
          ) : (
            <Chat room={room} state={state} />
          )}
        </aside>
      )}
      <Controls room={room} state={state} />
    </div>
  );
}

/** Where a teacher's encoder sends to, while the class goes on: on a phone there is none. */
function Encoder({ session }: { session: string }) {
  const { t } = useTranslation();
  return (
    <Popover position="bottom-end" width={340} withArrow shadow="md">
      <Tooltip label={t("room.encoder.title")}>
        <Popover.Target>
          <ActionIcon
            size="lg"
            variant="subtle"
            color="pine.4"
            aria-label={t("room.encoder.title")}
            visibleFrom="sm"
          >
            <IconBroadcast size={20} />
          </ActionIcon>
        </Popover.Target>
      </Tooltip>
      <Popover.Dropdown>
        <ProgramKey session={session} use="encoder" />
      </Popover.Dropdown>
    </Popover>
  );
}

function Elapsed({ since }: { since: string }) {
  const when = useWhen();
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = window.setInterval(() => {
      setNow(Date.now());
    }, 1_000);
    return () => {
      window.clearInterval(timer);
    };
  }, []);
  return (
    <Text size="sm" className={classes.clock ?? ""} dir="ltr">
      {when.span((now - Date.parse(since)) / 1000)}
    </Text>
  );
}

function useNotices(room: ClassSession, state: ClassState): void {
  const { t } = useTranslation();
  const { notice } = state;
  useEffect(() => {
    if (!notice) return;
    const inPreview = notice === "denied" || notice === "noDevice" || notice === "insecure";
    const text = inPreview
      ? t(`room.preview.${notice}`)
      : notice === "failed"
        ? t("common.failed")
        : t(`room.${notice}`);
    notifications.show({ message: text, color: "amber", autoClose: 5_000 });
    room.forgetNotice();
  }, [notice, room, t]);
}
