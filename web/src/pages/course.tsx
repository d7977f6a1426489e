import { Anchor, Badge, Button, Card, Group, List, Stack, Text, ThemeIcon } from "@mantine/core";
import { IconBroadcast, IconCheck, IconFileText, IconPlayerPlay } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link, useLocation, useParams } from "react-router";
import { useAccount } from "../account/account";
import { api } from "../api/client";
import { Empty, Failure, PageTitle, Waiting } from "../shell/shell";
import { usePrice } from "./format";
import { SessionCard } from "./sessions";

const ICONS = { video: IconPlayerPlay, file: IconFileText, live: IconBroadcast };

export function CoursePage() {
  const { t } = useTranslation();
  const { course: id = "" } = useParams();
  const { user } = useAccount();
  const course = useQuery({ queryKey: ["course", id, user?.id], queryFn: () => api.course(id) });
  const sections = useQuery({
    queryKey: ["sections", id, user?.id],
    queryFn: () => api.sections(id),
    enabled: course.isSuccess,
  });
  if (course.isPending) return <Waiting />;
  if (course.isError) return <Failure error={course.error} retry={course.refetch} />;
  const isIn = course.data.enrolled || user?.role !== "student";
  return (
    <>
      <PageTitle
        title={course.data.title}
        lead={t("catalogue.by", { name: course.data.instructorName })}
      />
      <Stack gap="xl">
        {course.data.description && (
          <Text maw={680} dir="auto" style={{ whiteSpace: "pre-line" }}>
            {course.data.description}
          </Text>
        )}
        <Enrolment
          id={id}
          price={course.data.price}
          currency={course.data.currency}
          enrolled={course.data.enrolled}
        />
        {user && isIn && <CourseClasses id={id} />}
        <Stack gap="sm">
          <Text component="h2" fw={700} fz="xl" m={0}>
            {t("course.content")}
          </Text>
          {sections.isPending && <Waiting />}
          {sections.isError && <Failure error={sections.error} retry={sections.refetch} />}
          {sections.data?.length === 0 && <Empty>{t("course.emptySection")}</Empty>}
          {sections.data?.map((section) => (
            <Card key={section.id} withBorder>
              <Text fw={600} mb="xs">
                <bdi>{section.title}</bdi>
              </Text>
              {section.lessons.length === 0 && (
                <Text size="sm" c="dimmed">
                  {t("course.emptySection")}
                </Text>
              )}
              <List spacing="xs" center listStyleType="none">
                {section.lessons.map((lesson) => {
                  const Icon = ICONS[lesson.type];
                  return (
                    <List.Item
                      key={lesson.id}
                      icon={
                        <ThemeIcon variant="light" size="md">
                          <Icon size={16} />
                        </ThemeIcon>
                      }
                    >
                      <Group gap="xs">
                        {lesson.type !== "live" && (lesson.preview || (user && isIn)) ? (
                          <Anchor component={Link} to={`/lessons/${lesson.id}`}>
                            <bdi>{lesson.title}</bdi>
                          </Anchor>
                        ) : (
                          <Text>
                            <bdi>{lesson.title}</bdi>
                          </Text>
                        )}
                        <Text size="sm" c="dimmed">
                          {t(`course.types.${lesson.type}`)}
                        </Text>
                        {lesson.preview && <Badge variant="light">{t("course.preview")}</Badge>}
                        {lesson.completed && (
                          <Badge
                            variant="light"
                            color="green"
                            leftSection={<IconCheck size={12} />}
                          >
                            {t("course.completed")}
                          </Badge>
                        )}
                      </Group>
                    </List.Item>
                  );
                })}
              </List>
            </Card>
          ))}
        </Stack>
      </Stack>
    </>
  );
}

function Enrolment(props: { id: string; price: number; currency: string; enrolled: boolean }) {
  const { t } = useTranslation();
  const { user } = useAccount();
  const location = useLocation();
  const price = usePrice();
  const queries = useQueryClient();
  const enroll = useMutation({
    mutationFn: () => api.enroll(props.id),
    onSuccess: () => queries.invalidateQueries(),
  });
  if (user === null)
    return (
      <Group>
        <Button component={Link} to="/sign-in" state={{ from: location.pathname }} size="md">
          {t("course.signInToEnroll")}
        </Button>
        <Text fw={700}>{price(props.price, props.currency)}</Text>
      </Group>
    );
  if (user?.role !== "student") return null;
  if (props.enrolled)
    return (
      <Badge size="xl" variant="light" leftSection={<IconCheck size={16} />}>
        {t("course.enrolled")}
      </Badge>
    );
  if (props.price) return <Purchase {...props} />;
  return (
    <Stack align="flex-start">
      <Button
        size="md"
        loading={enroll.isPending}
        onClick={() => {
          enroll.mutate();
        }}
      >
        {t("course.enroll")} · {price(props.price, props.currency)}
      </Button>
      {enroll.isError && <Failure error={enroll.error} />}
    </Stack>
  );
}

function Purchase(props: { id: string; price: number; currency: string }) {
  const { t } = useTranslation();
  const price = usePrice();
  const queries = useQueryClient();
  const buy = useMutation({
    mutationFn: () => api.checkOut(props.id),
    onSuccess: async (order) => {
      if (order.checkoutUrl) window.location.assign(order.checkoutUrl);
      else await queries.invalidateQueries();
    },
  });
  return (
    <Stack align="flex-start">
      <Button
        size="md"
        loading={buy.isPending}
        onClick={() => {
          buy.mutate();
        }}
      >
        {t("course.buy")} · {price(props.price, props.currency)}
      </Button>
      {buy.isError && <Failure error={buy.error} />}
    </Stack>
  );
}

function CourseClasses({ id }: { id: string }) {
  const { t } = useTranslation();
  const query = useQuery({
    queryKey: ["sessions", id],
    queryFn: () => api.sessions({ courseId: id }),
    refetchInterval: 10_000,
  });
  const open = query.data?.items.filter((s) => s.status === "live" || s.status === "scheduled");
  return (
    <Stack gap="sm">
      <Text component="h2" fw={700} fz="xl" m={0}>
        {t("course.classes")}
      </Text>
      {query.isError && <Failure error={query.error} retry={query.refetch} />}
      {open?.length === 0 && <Text c="dimmed">{t("course.noClasses")}</Text>}
      {open?.map((session) => (
        <SessionCard key={session.id} session={session} />
      ))}
    </Stack>
  );
}
