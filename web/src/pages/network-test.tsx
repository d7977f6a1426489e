import { Alert, Button, Card, Group, Progress, Stack, Text, ThemeIcon } from "@mantine/core";
import { IconAlertTriangle, IconCheck, IconWifi, IconX } from "@tabler/icons-react";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { askNetworkTest, endNetworkTest } from "../api/client";
import { NetworkTest, verdictOf, type Findings, type Verdict } from "../media/network-test";
import { Failure, PageTitle } from "../shell/shell";

const LOOK: Record<Verdict, { color: string; icon: typeof IconCheck }> = {
  teach: { color: "pine", icon: IconCheck },
  camera: { color: "pine", icon: IconCheck },
  watch: { color: "amber", icon: IconAlertTriangle },
  sound: { color: "amber", icon: IconAlertTriangle },
  nothing: { color: "red", icon: IconX },
};

/** Does a class work from here? Sends to the server and back, as a class does, and says it in words. */
export function NetworkTestPage() {
  const { t } = useTranslation();
  const [progress, setProgress] = useState(0);
  const running = useRef<NetworkTest | null>(null);
  const test = useMutation({
    mutationFn: async () => {
      setProgress(0);
      const one = new NetworkTest({ ask: askNetworkTest }, setProgress);
      running.current = one;
      try {
        return await one.run();
      } finally {
        void endNetworkTest();
      }
    },
  });
  useEffect(() => () => running.current?.close(), []);
  const begin = () => {
    test.mutate();
  };
  return (
    <>
      <PageTitle title={t("network.title")} lead={t("network.lead")} />
      <Card withBorder padding="lg" maw={640}>
        {test.isPending ? (
          <Stack gap="sm" role="status">
            <Text fw={600}>{t("network.running")}</Text>
            <Progress
              value={Math.max(4, 100 * progress)}
              animated
              size="lg"
              aria-label={t("network.running")}
            />
            <Text size="sm" c="dimmed">
              {t("network.runningLead")}
            </Text>
          </Stack>
        ) : test.isError ? (
          <Failure error={test.error} retry={begin} />
        ) : test.data ? (
          <Result found={test.data} again={begin} />
        ) : (
          <Stack gap="sm" align="flex-start">
            <Text>{t("network.explain")}</Text>
            <Button leftSection={<IconWifi size={18} />} onClick={begin}>
              {t("network.start")}
            </Button>
          </Stack>
        )}
      </Card>
    </>
  );
}

function Result({ found, again }: { found: Findings; again: () => void }) {
  const { t } = useTranslation();
  const verdict = verdictOf(found);
  const { color, icon: Icon } = LOOK[verdict];
  return (
    <Stack gap="md" role="status" data-verdict={verdict}>
      <Group wrap="nowrap" align="flex-start">
        <ThemeIcon size={44} radius="xl" color={color} variant="light">
          <Icon />
        </ThemeIcon>
        <Stack gap={2}>
          <Text fw={700} fz="lg">
            {t(`network.${verdict}`)}
          </Text>
          <Text>{t(`network.${verdict}Lead`)}</Text>
        </Stack>
      </Group>
      {found.way !== null && found.way !== "udp" && (
        <Alert color="amber">{t(`network.by.${found.way}`)}</Alert>
      )}
      {found.way !== null && (
        <dl style={{ margin: 0 }}>
          <Row name={t("network.up")} value={rate(found.up)} />
          <Row name={t("network.down")} value={rate(found.down)} />
          <Row name={t("network.roundTrip")} value={`${String(Math.round(found.roundTrip))} ms`} />
          <Row name={t("network.jitter")} value={`${String(Math.round(found.jitter))} ms`} />
          <Row
            name={t("network.loss")}
            value={`${found.lossUp.toFixed(1)} % ↑  ${found.lossDown.toFixed(1)} % ↓`}
          />
        </dl>
      )}
      <Button variant="default" onClick={again} style={{ alignSelf: "flex-start" }}>
        {t("network.again")}
      </Button>
    </Stack>
  );
}

function rate(kilobits: number): string {
  return kilobits >= 1000
    ? `${(kilobits / 1000).toFixed(1)} Mb/s`
    : `${String(Math.round(kilobits))} kb/s`;
}

function Row({ name, value }: { name: string; value: string }) {
  return (
    <Group
      justify="space-between"
      py={6}
      style={{ borderBottom: "1px solid var(--mantine-color-default-border)" }}
    >
      <Text component="dt" size="sm" c="dimmed">
        {name}
      </Text>
      <Text component="dd" size="sm" fw={600} m={0} dir="ltr">
        {value}
      </Text>
    </Group>
  );
}
