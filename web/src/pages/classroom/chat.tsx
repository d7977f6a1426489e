import { ActionIcon, Group, ScrollArea, Stack, Text, TextInput } from "@mantine/core";
import { IconSend } from "@tabler/icons-react";
import { useEffect, useRef, useState, type SyntheticEvent } from "react";
import { useTranslation } from "react-i18next";
import { useWhen } from "../format";
import type { ClassSession, ClassState } from "./class-session";
import classes from "./classroom.module.css";

export function Chat({ room, state }: { room: ClassSession; state: ClassState }) {
  const { t } = useTranslation();
  const when = useWhen();
  const [text, setText] = useState("");
  const end = useRef<HTMLDivElement>(null);
  const count = state.chat.length;
  useEffect(() => {
    end.current?.scrollIntoView({ block: "end" });
  }, [count]);
  const send = async (event: SyntheticEvent) => {
    event.preventDefault();
    if (text.trim() && (await room.say(text.trim()))) setText("");
  };
  return (
    <>
      <ScrollArea style={{ flex: 1 }} px="md">
        <Stack gap="sm" pb="sm">
          {count === 0 && (
            <Text c="dimmed" size="sm" ta="center" py="xl">
              {t("room.noMessages")}
            </Text>
          )}
          {state.chat.map((message) => (
            <div
              key={message.id}
              className={classes.message}
              data-mine={message.userId === state.me?.userId}
            >
              <Group gap={6} justify="space-between">
                <Text size="xs" fw={700}>
                  <bdi>{message.name}</bdi>
                </Text>
                <Text size="xs" c="dimmed">
                  {when.time(message.at).slice(0, 5)}
                </Text>
              </Group>
              <Text size="sm" dir="auto" style={{ overflowWrap: "anywhere" }}>
                {message.text}
              </Text>
            </div>
          ))}
          <div ref={end} />
        </Stack>
      </ScrollArea>
      <form onSubmit={send}>
        <Group gap="xs" p="sm" wrap="nowrap">
          <TextInput
            style={{ flex: 1 }}
            value={text}
            onChange={(event) => {
              setText(event.currentTarget.value);
            }}
            placeholder={t("room.message")}
            aria-label={t("room.message")}
            maxLength={2000}
            dir="auto"
          />
          <ActionIcon type="submit" size={36} aria-label={t("room.send")} disabled={!text.trim()}>
            <IconSend size={18} className={classes.flip} />
          </ActionIcon>
        </Group>
      </form>
    </>
  );
}
