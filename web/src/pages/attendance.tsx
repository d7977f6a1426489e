import { Alert, Badge, Button, Card, Group, Progress, Stack, Table, Text } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { useParams } from "react-router";
import { api } from "../api/client";
import { Empty, Failure, PageTitle, Waiting } from "../shell/shell";
import { useWhen } from "./format";

const COLORS = { present: "pine", late: "amber", left_early: "amber", absent: "gray" } as const;

export function AttendancePage() {
  const { t } = useTranslation();
  const when = useWhen();
  const { session: id = "" } = useParams();
  const query = useQuery({
    queryKey: ["attendance", id],
    queryFn: () => api.attendance(id),
    refetchInterval: (running) => (running.state.data?.final ? false : 5_000),
  });
  if (query.isPending) return <Waiting />;
  if (query.isError) return <Failure error={query.error} retry={query.refetch} />;
  const { students, final, title } = query.data;
  return (
    <>
      <Group justify="space-between" align="flex-start">
        <PageTitle title={t("attendance.title")} lead={title} />
        <Button
          leftSection={<IconDownload size={18} />}
          variant="default"
          onClick={() => save(id, title)}
        >
          {t("attendance.download")}
        </Button>
      </Group>
      {!final && <Alert mb="md">{t("attendance.running")}</Alert>}
      {students.length === 0 && <Empty>{t("attendance.nobody")}</Empty>}
      <Stack gap="sm" hiddenFrom="sm">
        {students.map((row) => (
          <Card key={row.studentId} withBorder padding="sm">
            <Group justify="space-between">
              <Text fw={600}>
                <bdi>{row.name}</bdi>
              </Text>
              <Badge color={COLORS[row.status]} variant="light">
                {t(`attendance.${row.status}`)}
              </Badge>
            </Group>
            <Group justify="space-between" mt={4}>
              <Text size="sm">{when.span(row.totalSeconds)}</Text>
              <Text size="sm">{row.percentOfSession} %</Text>
            </Group>
            <Progress value={row.percentOfSession} mt={6} aria-label={t("attendance.share")} />
          </Card>
        ))}
      </Stack>
      {students.length > 0 && (
        <Table.ScrollContainer minWidth={640} visibleFrom="sm">
          <Table verticalSpacing="sm">
            <Table.Thead>
              <Table.Tr>
                {(["student", "status", "time", "first", "last", "share"] as const).map((key) => (
                  <Table.Th key={key}>{t(`attendance.${key}`)}</Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {students.map((row) => (
                <Table.Tr key={row.studentId}>
                  <Table.Td>
                    <Text fw={600}>
                      <bdi>{row.name}</bdi>
                    </Text>
                    <Text size="xs" c="dimmed">
                      <bdi>{row.email}</bdi>
                    </Text>
                  </Table.Td>
                  <Table.Td>
                    <Badge color={COLORS[row.status]} variant="light">
                      {t(`attendance.${row.status}`)}
                    </Badge>
                  </Table.Td>
                  <Table.Td>{when.span(row.totalSeconds)}</Table.Td>
                  <Table.Td>{row.firstJoin ? when.time(row.firstJoin) : "–"}</Table.Td>
                  <Table.Td>{row.lastLeave ? when.time(row.lastLeave) : "–"}</Table.Td>
                  <Table.Td miw={120}>
                    <Text size="sm">{row.percentOfSession} %</Text>
                    <Progress value={row.percentOfSession} aria-label={t("attendance.share")} />
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </>
  );
}

async function save(id: string, title: string): Promise<void> {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await api.attendanceCsv(id));
  link.download = `${title}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}
