import {
  Alert,
  Anchor,
  Button,
  Card,
  Center,
  PasswordInput,
  SegmentedControl,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useLocation, useNavigate } from "react-router";
import { useAccount } from "../account/account";
import { api, ApiError } from "../api/client";
import { PageTitle } from "../shell/shell";

const FIELDS = ["name", "email", "password"] as const;

interface Values {
  name: string;
  email: string;
  password: string;
  role: "student" | "instructor";
}

export function SignIn({ fresh }: { fresh: boolean }) {
  const { t, i18n } = useTranslation();
  const { signedIn } = useAccount();
  const navigate = useNavigate();
  const location = useLocation();
  const [problem, setProblem] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const form = useForm<Values>({
    initialValues: { name: "", email: "", password: "", role: "student" },
  });

  const submit = form.onSubmit(async (values) => {
    setBusy(true);
    setProblem(null);
    try {
      const user = fresh
        ? await api.signUp({ ...values, locale: i18n.language === "ar" ? "ar" : "en" })
        : await api.signIn(values.email, values.password);
      signedIn(user);
      const from = (location.state as { from?: string } | null)?.from;
      await navigate(from ?? "/classes", { replace: true });
    } catch (error) {
      if (error instanceof ApiError) {
        showFields(error);
        setProblem(error);
      }
    } finally {
      setBusy(false);
    }
  });

  const showFields = (error: ApiError) => {
    for (const { field, code } of error.problem?.errors ?? []) {
      const known = FIELDS.find((name) => name === field);
      if (known)
        form.setFieldError(known, t([`auth.fields.${code}`, "auth.fields.other"] as never));
    }
  };

  return (
    <Center py={{ base: "md", sm: 40 }}>
      <Card withBorder shadow="sm" padding="xl" w="100%" maw={420}>
        <PageTitle
          title={fresh ? t("auth.signUpTitle") : t("auth.signInTitle")}
          lead={fresh ? t("auth.signUpLead") : t("auth.signInLead")}
        />
        <form onSubmit={submit}>
          <Stack>
            {problem && (
              <Alert color="red" title={problem.title} role="alert">
                {problem.detail}
              </Alert>
            )}
            {fresh && (
              <TextInput
                label={t("auth.name")}
                autoComplete="name"
                dir="auto"
                required
                {...form.getInputProps("name")}
              />
            )}
            <TextInput
              label={t("auth.email")}
              type="email"
              autoComplete="email"
              dir="ltr"
              required
              {...form.getInputProps("email")}
            />
            <PasswordInput
              label={t("auth.password")}
              description={fresh ? t("auth.passwordHint") : undefined}
              autoComplete={fresh ? "new-password" : "current-password"}
              required
              {...form.getInputProps("password")}
            />
            {fresh && (
              <Stack gap={4}>
                <Text size="sm" fw={500}>
                  {t("auth.role")}
                </Text>
                <SegmentedControl
                  aria-label={t("auth.role")}
                  data={[
                    { value: "student", label: t("auth.student") },
                    { value: "instructor", label: t("auth.instructor") },
                  ]}
                  {...form.getInputProps("role")}
                />
              </Stack>
            )}
            <Button type="submit" loading={busy} size="md">
              {fresh ? t("auth.signUp") : t("auth.signIn")}
            </Button>
            <Anchor
              component={Link}
              to={fresh ? "/sign-in" : "/sign-up"}
              state={location.state as unknown}
              size="sm"
              ta="center"
            >
              {fresh ? t("auth.toSignIn") : t("auth.toSignUp")}
            </Anchor>
          </Stack>
        </form>
      </Card>
    </Center>
  );
}
