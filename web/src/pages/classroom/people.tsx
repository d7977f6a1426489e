import { ActionIcon, Avatar, Badge, Group, Menu, ScrollArea, Stack, Text } from "@mantine/core";
import {
  IconDots,
  IconDoorExit,
  IconHandStop,
  IconMicrophoneOff,
  IconPresentation,
  IconPresentationOff,
  IconWifiOff,
} from "@tabler/icons-react";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Attendee } from "../../signaling/messages";
import type { ClassSession, ClassState } from "./class-session";
import { Sure } from "./sure";

/** Who is here: the teacher first, then raised hands in their order, then the rest. */
export function People({ room, state }: { room: ClassSession; state: ClassState }) {
  const { t } = useTranslation();
  const staff = state.me?.role === "staff";
  const people = [...state.attendees.values()].sort(
    (a, b) => rank(a) - rank(b) || a.hand - b.hand || a.name.localeCompare(b.name),
  );
  return (
    <ScrollArea style={{ flex: 1 }} px="md">
      <Stack gap="xs" pb="md">
        {people.map((one) => (
          <Group key={one.userId} wrap="nowrap" gap="sm">
            <Avatar name={one.name} color="initials" radius="xl" />
            <div style={{ flex: 1, minWidth: 0 }}>
              <Text truncate fw={600} size="sm">
                <bdi>{one.name}</bdi>
                {one.userId === state.me?.userId && ` (${t("room.you")})`}
              </Text>
              <Group gap={6}>
                {one.role === "staff" && (
                  <Badge size="xs" variant="light" color="amber">
                    {t("room.teacher")}
                  </Badge>
                )}
                {one.floor.length > 0 && (
                  <Badge size="xs" color="pine">
                    {t("room.hasFloor")}
                  </Badge>
                )}
                {one.away && (
                  <Badge size="xs" color="gray" leftSection={<IconWifiOff size={10} />}>
                    {t("room.away")}
                  </Badge>
                )}
              </Group>
            </div>
            {one.hand > 0 && (
              <IconHandStop size={20} color="orange" aria-label={t("room.handUp")} />
            )}
            {staff && one.role === "student" && <Deeds room={room} one={one} />}
          </Group>
        ))}
      </Stack>
    </ScrollArea>
  );
}

function rank(one: Attendee): number {
  if (one.role === "staff") return 0;
  return one.hand ? 1 : 2;
}

function Deeds({ room, one }: { room: ClassSession; one: Attendee }) {
  const { t } = useTranslation();
  const [removing, setRemoving] = useState<"kick" | "ban" | null>(null);
  return (
    <>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={t("room.options", { name: one.name })}
          >
            <IconDots size={18} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {one.floor.length ? (
            <>
              <Menu.Item
                leftSection={<IconPresentationOff size={16} />}
                onClick={() => {
                  room.takeFloor(one.userId);
                }}
              >
                {t("room.takeFloor")}
              </Menu.Item>
              <Menu.Item
                leftSection={<IconMicrophoneOff size={16} />}
                onClick={() => {
                  room.mute(one.userId);
                }}
              >
                {t("room.muteStudent")}
              </Menu.Item>
            </>
          ) : (
            <Menu.Item
              leftSection={<IconPresentation size={16} />}
              onClick={() => {
                room.giveFloor(one.userId);
              }}
            >
              {t("room.giveFloor")}
            </Menu.Item>
          )}
          <Menu.Divider />
          <Menu.Item
            color="red"
            leftSection={<IconDoorExit size={16} />}
            onClick={() => {
              setRemoving("kick");
            }}
          >
            {t("room.kick")}
          </Menu.Item>
          <Menu.Item
            color="red"
            leftSection={<IconDoorExit size={16} />}
            onClick={() => {
              setRemoving("ban");
            }}
          >
            {t("room.ban")}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Sure
        opened={removing !== null}
        close={() => {
          setRemoving(null);
        }}
        title={t("room.kickTitle", { name: one.name })}
        lead={t(removing === "ban" ? "room.banLead" : "room.kickLead")}
        deed={t(removing === "ban" ? "room.ban" : "room.kick")}
        act={() => {
          room.putOut(one.userId, removing === "ban");
        }}
      />
    </>
  );
}
