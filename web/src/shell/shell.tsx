import {
  Alert,
  AppShell,
  Burger,
  Button,
  Center,
  Container,
  Drawer,
  Group,
  Loader,
  Stack,
  Text,
  UnstyledButton,
} from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconAlertCircle, IconLanguage } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, NavLink, Outlet, useNavigate } from "react-router";
import { useAccount } from "../account/account";
import { ApiError } from "../api/client";
import { speak } from "../i18n";
import classes from "./shell.module.css";

export function Logo() {
  return (
    <Group gap={8} wrap="nowrap">
      <img src="/favicon.svg" width={28} height={28} alt="" />
      <Text fw={800} fz="lg">
        liveserver
      </Text>
    </Group>
  );
}

export function LanguageSwitch() {
  const { t, i18n } = useTranslation();
  return (
    <Button
      variant="subtle"
      size="compact-sm"
      leftSection={<IconLanguage size={16} />}
      onClick={() => speak(i18n.language === "ar" ? "en" : "ar")}
    >
      {t("language.switch")}
    </Button>
  );
}

export function Shell() {
  const { t } = useTranslation();
  const { user, signOut } = useAccount();
  const navigate = useNavigate();
  const [menu, { toggle, close }] = useDisclosure(false);
  const links = (
    <>
      <NavLink to="/" end className={classes.link ?? ""} onClick={close}>
        {t("nav.catalogue")}
      </NavLink>
      {user && (
        <NavLink to="/classes" className={classes.link ?? ""} onClick={close}>
          {t("nav.sessions")}
        </NavLink>
      )}
    </>
  );
  const leave = async () => {
    close();
    await signOut();
    await navigate("/");
  };
  const account = user ? (
    <>
      <Text size="sm" c="dimmed" className={classes.name ?? ""}>
        <bdi>{user.name}</bdi>
      </Text>
      <Button variant="default" size="compact-md" onClick={leave}>
        {t("nav.signOut")}
      </Button>
    </>
  ) : (
    <Button component={Link} to="/sign-in" size="compact-md" onClick={close}>
      {t("nav.signIn")}
    </Button>
  );
  return (
    <AppShell header={{ height: 60 }}>
      <AppShell.Header className={classes.header ?? ""}>
        <Container size="lg" h="100%">
          <Group h="100%" justify="space-between" wrap="nowrap">
            <Group gap="xl" wrap="nowrap">
              <UnstyledButton component={Link} to="/">
                <Logo />
              </UnstyledButton>
              <Group gap="xs" visibleFrom="sm">
                {links}
              </Group>
            </Group>
            <Group gap="sm" visibleFrom="sm" wrap="nowrap">
              <LanguageSwitch />
              {account}
            </Group>
            <Burger hiddenFrom="sm" opened={menu} onClick={toggle} aria-label={t("nav.menu")} />
          </Group>
        </Container>
      </AppShell.Header>
      <Drawer opened={menu} onClose={close} size="xs" title={<Logo />} position="right">
        <Stack>
          {links}
          {account}
          <LanguageSwitch />
        </Stack>
      </Drawer>
      <AppShell.Main>
        <Container size="lg" py="lg">
          <Outlet />
        </Container>
      </AppShell.Main>
    </AppShell>
  );
}

export function Waiting() {
  const { t } = useTranslation();
  return (
    <Center py={80}>
      <Stack align="center" gap="xs">
        <Loader />
        <Text c="dimmed" size="sm">
          {t("common.loading")}
        </Text>
      </Stack>
    </Center>
  );
}

export function Failure({ error, retry }: { error: unknown; retry?: () => unknown }) {
  const { t } = useTranslation();
  const known = error instanceof ApiError ? error : null;
  return (
    <Alert
      color="red"
      icon={<IconAlertCircle />}
      title={known?.title === "" || !known ? t("common.failed") : known.title}
      my="md"
    >
      <Stack align="flex-start" gap="sm">
        <Text size="sm">{known?.detail ?? t("common.offline")}</Text>
        {retry && (
          <Button size="compact-sm" variant="default" onClick={() => retry()}>
            {t("common.retry")}
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

export function Empty({ children }: { children: ReactNode }) {
  return (
    <Center py={60}>
      <Text c="dimmed" ta="center" maw={420}>
        {children}
      </Text>
    </Center>
  );
}

export function PageTitle({ title, lead }: { title: string; lead?: string }) {
  return (
    <Stack gap={2} mb="lg">
      <Text component="h1" m={0} fz={{ base: 26, sm: 32 }} fw={800} lh={1.3}>
        <bdi>{title}</bdi>
      </Text>
      {lead && (
        <Text c="dimmed">
          <bdi>{lead}</bdi>
        </Text>
      )}
    </Stack>
  );
}
