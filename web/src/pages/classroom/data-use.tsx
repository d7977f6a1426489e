import { ActionIcon, Popover, Radio, Select, Stack, Text, Tooltip } from "@mantine/core";
import { IconGauge } from "@tabler/icons-react";
import { useTranslation } from "react-i18next";
import { CAPS, type Cap, type DataPlan } from "../../media/data-use";
import type { ClassSession, ClassState } from "./class-session";

const PLANS: DataPlan[] = ["best", "less", "least", "sound"];
const MEGABYTE = 1_000_000;

/** What the class takes of somebody's data, and what it may take. */
export function DataUse({ room, state }: { room: ClassSession; state: ClassState }) {
  const { t } = useTranslation();
  const { data } = state;
  const used = { used: megabytes(data.bytes) };
  return (
    <Popover position="bottom-end" width={300} withArrow shadow="md">
      <Tooltip label={t("room.data.title")}>
        <Popover.Target>
          <ActionIcon size="lg" variant="subtle" color="pine.4" aria-label={t("room.data.title")}>
            <IconGauge size={20} />
          </ActionIcon>
        </Popover.Target>
      </Tooltip>
      <Popover.Dropdown>
        <Stack gap="sm">
          <div>
            <Text fw={700}>{t("room.data.title")}</Text>
            <Text size="sm" role="status">
              {data.hourly === null
                ? t("room.data.soFar", used)
                : t("room.data.hourly", { ...used, hourly: megabytes(data.hourly) })}
            </Text>
            {data.capped && (
              <Text size="sm" c="amber.8">
                {t("room.data.capped", { cap: data.choice.cap })}
              </Text>
            )}
          </div>
          <Radio.Group
            value={data.choice.plan}
            onChange={(plan) => {
              room.chooseData({ ...data.choice, plan: plan });
            }}
            aria-label={t("room.data.title")}
          >
            <Stack gap={6}>
              {PLANS.map((plan) => (
                <Radio key={plan} value={plan} label={t(`room.data.${plan}`)} />
              ))}
            </Stack>
          </Radio.Group>
          <Select
            label={t("room.data.cap")}
            comboboxProps={{ withinPortal: false }}
            allowDeselect={false}
            value={String(data.choice.cap)}
            data={CAPS.map((cap) => ({
              value: String(cap),
              label: cap === 0 ? t("room.data.noCap") : `${String(cap)} MB`,
            }))}
            onChange={(cap) => {
              room.chooseData({ ...data.choice, cap: Number(cap) as Cap });
            }}
          />
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}

function megabytes(bytes: number): string {
  const number = bytes / MEGABYTE;
  return number < 10 ? number.toFixed(1) : String(Math.round(number));
}
