import { Button, Group, Modal, Stack, Text } from "@mantine/core";
import { useTranslation } from "react-i18next";

interface SureProps {
  opened: boolean;
  close: () => void;
  title: string;
  lead: string;
  deed: string;
  act: () => unknown;
}

/** Ask before a deed that cannot be taken back. */
export function Sure({ opened, close, title, lead, deed, act }: SureProps) {
  const { t } = useTranslation();
  return (
    <Modal opened={opened} onClose={close} title={title} centered>
      <Stack>
        <Text>{lead}</Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={close}>
            {t("common.cancel")}
          </Button>
          <Button
            color="red"
            onClick={() => {
              act();
              close();
            }}
          >
            {deed}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
