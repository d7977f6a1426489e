import {
  ActionIcon,
  Button,
  CopyButton,
  Group,
  Stack,
  Text,
  TextInput,
  Tooltip,
} from "@mantine/core";
import { IconBroadcast, IconCheck, IconCopy } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { api } from "../../api/client";
import { Failure } from "../../shell/shell";
import { useWhen } from "../format";

/** What a teacher types into OBS or another WHIP encoder to send from there. */
export function EncoderKey({ session }: { session: string }) {
  const { t } = useTranslation();
  const when = useWhen();
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
        leftSection={<IconBroadcast size={18} />}
        loading={key.isPending}
        onClick={() => {
          key.mutate();
        }}
      >
        {t("room.encoder.open")}
      </Button>
    );
  return (
    <Stack gap="xs">
      <Text size="sm">{t("room.encoder.lead")}</Text>
      <Copied label={t("room.encoder.address")} value={key.data.whip ?? ""} />
      <Copied label={t("room.encoder.key")} value={key.data.key} secret />
      <Text size="xs" c="dimmed">
        {t("room.encoder.until", { time: when.moment(key.data.expiresAt) })}
      </Text>
    </Stack>
  );
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
          <Tooltip label={t(copied ? "room.encoder.copied" : "room.encoder.copy")}>
            <ActionIcon
              variant="default"
              size={36}
              onClick={copy}
              aria-label={`${t("room.encoder.copy")}: ${label}`}
            >
              {copied ? <IconCheck size={18} /> : <IconCopy size={18} />}
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </Group>
  );
}
