import {
  ActionIcon,
  Button,
  CopyButton,
  Group,
  SegmentedControl,
  Stack,
  Text,
  TextInput,
  Tooltip,
} from "@mantine/core";
import { IconBroadcast, IconCheck, IconCopy, IconDeviceTv } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, type MediaKey } from "../../api/client";
import { Failure } from "../../shell/shell";
import { useWhen } from "../format";

type Use = "encoder" | "player";

/** What is typed into a program: a teacher's encoder, to send from there, or a student's player, to watch. */
export function ProgramKey({ session, use }: { session: string; use: Use }) {
  const { t } = useTranslation();
  const when = useWhen();
  const [source, setSource] = useState("camera");
  const key = useMutation({ mutationFn: () => api.mediaKey(session) });
  if (key.isError)
    return (
      <Failure
        error={key.error}
        retry={() => {
          key.mutate();
        }}
      />
    );
  if (!key.data)
    return (
      <Button
        variant="subtle"
        size="compact-md"
        leftSection={use === "encoder" ? <IconBroadcast size={18} /> : <IconDeviceTv size={18} />}
        loading={key.isPending}
        onClick={() => {
          key.mutate();
        }}
      >
        {t(`room.${use}.open`)}
      </Button>
    );
  return (
    <Stack gap="xs">
      <Text size="sm">{t(`room.${use}.lead`)}</Text>
      <SegmentedControl
        value={source}
        onChange={setSource}
        aria-label={t(`room.${use}.source`)}
        data={["camera", "screen"].map((value) => ({ value, label: t(`room.${use}.${value}`) }))}
      />
      <Copied label={t("room.program.address")} value={address(key.data, use, source)} />
      <Copied label={t("room.program.key")} value={key.data.key} secret />
      <Text size="xs" c="dimmed">
        {t("room.program.until", { time: when.moment(key.data.expiresAt) })}
      </Text>
    </Stack>
  );
}

function address(key: MediaKey, use: Use, source: string): string {
  const base = (use === "encoder" ? key.whip : key.whep) ?? "";
  return source === "screen" ? `${base}?source=screen` : base;
}

function Copied({ label, value, secret }: { label: string; value: string; secret?: boolean }) {
  const { t } = useTranslation();
  return (
    <Group gap="xs" align="end" wrap="nowrap">
      <TextInput
        label={label}
        value={value}
        type={secret ? "password" : "text"}
        autoComplete="off"
        readOnly
        dir="ltr"
        style={{ flex: 1 }}
      />
      <CopyButton value={value}>
        {({ copied, copy }) => (
          <Tooltip label={t(copied ? "room.program.copied" : "room.program.copy")}>
            <ActionIcon
              variant="default"
              size={36}
              onClick={copy}
              aria-label={`${t("room.program.copy")}: ${label}`}
            >
              {copied ? <IconCheck size={18} /> : <IconCopy size={18} />}
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </Group>
  );
}
