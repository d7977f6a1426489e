import { Alert, Button, Card, Group, Stack, Text } from "@mantine/core";
import { IconArrowLeft, IconDownload, IconMaximize } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useParams } from "react-router";
import { useAccount } from "../account/account";
import { api, type Playback } from "../api/client";
import { Watching } from "../media/watching";
import { Failure, PageTitle, Waiting } from "../shell/shell";
import classes from "./lesson.module.css";

const MOVES_MS = 8_000;

/** One lesson: its video or its file. */
export default function LessonPage() {
  const { t } = useTranslation();
  const { lesson: id = "" } = useParams();
  const lesson = useQuery({ queryKey: ["lesson", id], queryFn: () => api.lesson(id) });
  if (lesson.isPending) return <Waiting />;
  if (lesson.isError) return <Failure error={lesson.error} retry={lesson.refetch} />;
  return (
    <>
      <Group mb="sm">
        <Button
          component={Link}
          to={`/courses/${lesson.data.courseId}`}
          variant="subtle"
          size="compact-md"
          leftSection={<IconArrowLeft size={16} className={classes.back ?? ""} />}
        >
          {t("lesson.toCourse")}
        </Button>
      </Group>
      <PageTitle title={lesson.data.title} />
      {lesson.data.type === "video" && <Video key={id} id={id} />}
      {lesson.data.type === "file" && <File id={id} />}
      {lesson.data.type === "live" && (
        <Button component={Link} to={`/courses/${lesson.data.courseId}`}>
          {t("course.classes")}
        </Button>
      )}
    </>
  );
}

function Video({ id }: { id: string }) {
  const { t } = useTranslation();
  const begun = useQuery({
    queryKey: ["playback", id],
    queryFn: () => api.stream(id),
    retry: false,
    staleTime: Infinity,
    gcTime: 0,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
  if (begun.isPending) return <Waiting />;
  if (begun.isError) return <Failure error={begun.error} retry={begun.refetch} />;
  return (
    <Stack gap="sm">
      <Player key={begun.data.playbackId} id={id} playback={begun.data} again={begun.refetch} />
      <Text size="xs" c="dimmed">
        {t("lesson.watermarkNote")}
      </Text>
    </Stack>
  );
}

function Player(props: { id: string; playback: Playback; again: () => unknown }) {
  const { t } = useTranslation();
  const { user } = useAccount();
  const frame = useRef<HTMLDivElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const [ended, setEnded] = useState<"playback_ended" | "failed" | null>(null);
  const tracks = user?.role === "student";
  const { id, playback } = props;
  useEffect(() => {
    if (!video.current) return;
    const watching = new Watching(video.current, id, playback, tracks, setEnded);
    const leave = () => void watching.close();
    window.addEventListener("pagehide", leave);
    return () => {
      window.removeEventListener("pagehide", leave);
      leave();
    };
  }, [id, playback, tracks]);
  if (ended)
    return (
      <Alert color="amber" title={t(`lesson.${ended}`)}>
        <Button size="compact-md" onClick={() => props.again()}>
          {t("common.retry")}
        </Button>
      </Alert>
    );
  return (
    <div className={classes.frame} ref={frame}>
      <video
        ref={video}
        className={classes.video}
        poster={playback.posterUrl}
        controls
        controlsList="nofullscreen nodownload"
        playsInline
        preload="auto"
      />
      <Watermark text={playback.watermark} />
      <Button
        className={classes.full ?? ""}
        size="compact-sm"
        variant="filled"
        color="dark"
        aria-label={t("lesson.fullscreen")}
        onClick={() => {
          if (document.fullscreenElement) void document.exitFullscreen();
          else void frame.current?.requestFullscreen();
        }}
      >
        <IconMaximize size={18} />
      </Button>
    </div>
  );
}

/** Who watches, laid over the picture: it wanders, and comes back when it is taken away. It deters; it prevents nothing. */
function Watermark({ text }: { text: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const parent = place.current;
    if (!parent) return;
    let mark: HTMLElement;
    const draw = () => {
      mark = document.createElement("span");
      mark.textContent = text;
      mark.dir = "auto";
      mark.style.insetInlineStart = `${String(5 + Math.random() * 45)}%`;
      // The lower part is the controls'.
      mark.style.top = `${String(8 + Math.random() * 40)}%`;
      parent.replaceChildren(mark);
    };
    draw();
    const watcher = new MutationObserver(() => {
      if (!parent.contains(mark)) draw();
    });
    watcher.observe(parent, { childList: true });
    const timer = window.setInterval(draw, MOVES_MS);
    return () => {
      window.clearInterval(timer);
      watcher.disconnect();
    };
  }, [text]);
  return <div ref={place} className={classes.mark} aria-hidden />;
}

function File({ id }: { id: string }) {
  const { t } = useTranslation();
  const get = useMutation({
    mutationFn: () => api.file(id),
    onSuccess: (file) => {
      window.location.assign(file.url);
    },
  });
  return (
    <Card withBorder maw={480}>
      <Stack align="flex-start">
        <Text>{t("lesson.fileLead")}</Text>
        <Button
          leftSection={<IconDownload size={18} />}
          loading={get.isPending}
          onClick={() => {
            get.mutate();
          }}
        >
          {t("lesson.download")}
        </Button>
        {get.isError && <Failure error={get.error} />}
      </Stack>
    </Card>
  );
}
