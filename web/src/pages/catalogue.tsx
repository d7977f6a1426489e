import { Badge, Button, Card, Center, Group, SimpleGrid, Stack, Text } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, type Course } from "../api/client";
import { Empty, Failure, PageTitle, Waiting } from "../shell/shell";
import classes from "./pages.module.css";
import { usePrice } from "./format";

export function Catalogue() {
  const { t } = useTranslation();
  const query = useInfiniteQuery({
    queryKey: ["courses"],
    queryFn: ({ pageParam }) => api.courses(pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.nextCursor,
  });
  const courses = query.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <>
      <PageTitle title={t("catalogue.title")} lead={t("catalogue.lead")} />
      {query.isPending && <Waiting />}
      {query.isError && <Failure error={query.error} retry={query.refetch} />}
      {query.isSuccess && courses.length === 0 && <Empty>{t("catalogue.empty")}</Empty>}
      <SimpleGrid cols={{ base: 1, sm: 2, md: 3 }} spacing="lg">
        {courses.map((course) => (
          <CourseCard key={course.id} course={course} />
        ))}
      </SimpleGrid>
      {query.hasNextPage && (
        <Center mt="lg">
          <Button
            variant="default"
            loading={query.isFetchingNextPage}
            onClick={() => query.fetchNextPage()}
          >
            {t("common.more")}
          </Button>
        </Center>
      )}
    </>
  );
}

function CourseCard({ course }: { course: Course }) {
  const { t } = useTranslation();
  const price = usePrice();
  return (
    <Card
      component={Link}
      to={`/courses/${course.id}`}
      withBorder
      padding="lg"
      className={classes.card ?? ""}
    >
      <div className={classes.cover} data-hue={hueOf(course.id)} aria-hidden />
      <Stack gap={6} mt="md" className={classes.grow ?? ""}>
        <Text fw={700} fz="lg" lh={1.35}>
          <bdi>{course.title}</bdi>
        </Text>
        <Text size="sm" c="dimmed">
          {t("catalogue.by", { name: course.instructorName })}
        </Text>
        <Group justify="space-between" mt="auto">
          <Text size="sm">{t("catalogue.lessons", { count: course.lessonCount })}</Text>
          <Badge variant="light" color={course.price ? "amber" : "pine"} size="lg">
            {price(course.price, course.currency)}
          </Badge>
        </Group>
      </Stack>
    </Card>
  );
}

/** A course without a picture gets one of four covers, always the same. */
function hueOf(id: string): number {
  return parseInt(id.slice(-2), 16) % 4;
}
