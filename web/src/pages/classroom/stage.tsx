import { ActionIcon, Button, Stack, Text, Tooltip } from "@mantine/core";
import {
  IconAntennaBarsOff,
  IconBroadcast,
  IconPin,
  IconPinnedOff,
  IconVolume,
} from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Slot } from "../../signaling/messages";
import { isPinned, type ClassSession, type ClassState, type Pinned } from "./class-session";
import classes from "./classroom.module.css";

interface Picture {
  key: string;
  /** The place's section, null for a picture of our own that stands on none. */
  mid: string | null;
  track: MediaStreamTrack;
  label: string;
  /** A screen is shown whole; a face may be cropped. */
  whole: boolean;
  mine: boolean;
  speaking: boolean;
  /** Who it is of; null for a picture that cannot be pinned. */
  of: Pinned | null;
  pinned: boolean;
  /** The link does not carry it. */
  missing: "bandwidth" | "codec" | "limit" | null;
}

/** What is to be seen: what is pinned, the screen or the teacher large, everybody else on the stage beside. */
export function Stage({ room, state }: { room: ClassSession; state: ClassState }) {
  const { t } = useTranslation();
  const pictures = picturesOf(state, t("room.you"), t("room.screenOf"));
  const large = pictures.find((one) => one.pinned) ?? pictures[0];
  const small = pictures.filter((one) => one !== large);
  if (!large)
    return (
      <Stack align="center" justify="center" h="100%" gap="xs" c="pine.1">
        <IconBroadcast size={40} />
        <Text ta="center">{t(emptyStage(state))}</Text>
      </Stack>
    );
  return (
    <div className={classes.pictures} data-small={small.length}>
      <PictureView key={large.key} room={room} picture={large} large />
      {small.length > 0 && (
        <div className={classes.small}>
          {small.map((picture) => (
            <PictureView key={picture.key} room={room} picture={picture} />
          ))}
        </div>
      )}
    </div>
  );
}

function emptyStage(state: ClassState) {
  if (state.me?.role !== "staff") return "room.waitingTeacher";
  return "room.yourCameraIsOff";
}

function picturesOf(state: ClassState, you: string, screenOf: string): Picture[] {
  const soundOnly = state.data.capped || state.data.choice.plan === "sound";
  const nameOf = (id: string) => state.attendees.get(id)?.name ?? "";
  const shown = (slot: Slot): Picture[] => {
    if (slot.participant === null || slot.kind !== "video" || slot.paused) return [];
    const mine = slot.participant === state.me?.userId;
    const track = mine ? state.sending.get(slot.source) : state.tracks.get(slot.mid);
    if (!track) return [];
    const name = mine ? you : nameOf(slot.participant);
    const whole = slot.source === "screen";
    return [
      {
        key: mine ? `mine-${slot.source}` : `${slot.mid}-${slot.participant}`,
        mid: slot.mid,
        track,
        label: whole ? `${screenOf} · ${name}` : name,
        whole,
        mine: mine && !whole,
        speaking: !whole && state.speaking.includes(slot.participant),
        of: slot,
        pinned: isPinned(state.pinned, slot),
        missing: mine ? null : soundOnly ? "limit" : (state.quality[slot.mid]?.paused ?? null),
      },
    ];
  };
  // The order of the places is the order of importance: screen, teacher, students.
  return [...state.slots.flatMap(shown), ...waiting(state, you)];
}

/** Our own camera while it stands on no place of the stage: who films sees it. */
function waiting(state: ClassState, you: string): Picture[] {
  const track = state.sending.get("camera");
  if (!track || standsOnStage(state, "camera")) return [];
  return [
    {
      key: "mine-camera",
      mid: null,
      track,
      label: you,
      whole: false,
      mine: true,
      speaking: false,
      of: null,
      pinned: false,
      missing: null,
    },
  ];
}

/** Whether one of the places shows, or lets hear, what we send of a source. */
export function standsOnStage(state: ClassState, source: Slot["source"]) {
  const me = state.me?.userId;
  return state.slots.some((slot) => slot.source === source && slot.participant === me);
}

const MISSING = {
  bandwidth: "room.starved",
  codec: "room.unreadable",
  limit: "room.data.off",
} as const;

/** How high the picture is drawn, in CSS pixels: one that is shown whole leaves the rest of its element dark. */
function shownHeight(element: HTMLVideoElement): number {
  const { clientWidth, clientHeight, videoWidth, videoHeight } = element;
  if (!videoWidth || getComputedStyle(element).objectFit !== "contain") return clientHeight;
  return Math.min(clientHeight, (clientWidth * videoHeight) / videoWidth);
}

interface PictureProps {
  room: ClassSession;
  picture: Picture;
  large?: boolean;
}

function PictureView({ room, picture, large = false }: PictureProps) {
  const { t } = useTranslation();
  const video = useRef<HTMLVideoElement>(null);
  const { mid, of } = picture;
  useEffect(() => {
    const element = video.current;
    if (!element || mid === null) return;
    const tell = () => {
      room.show(mid, shownHeight(element) * window.devicePixelRatio);
    };
    const observer = new ResizeObserver(tell);
    observer.observe(element);
    element.addEventListener("resize", tell);
    return () => {
      observer.disconnect();
      element.removeEventListener("resize", tell);
      room.show(mid, null);
    };
  }, [room, mid]);
  useEffect(() => {
    const element = video.current;
    if (!element) return;
    element.srcObject = new MediaStream([picture.track]);
    element.play().catch(() => undefined);
  }, [picture.track]);
  return (
    <figure
      className={large ? classes.large : classes.tile}
      data-whole={picture.whole}
      data-speaking={picture.speaking}
    >
      <video ref={video} autoPlay muted playsInline data-mine={picture.mine} />
      {picture.missing && (
        <div className={classes.starved} role="status">
          <IconAntennaBarsOff size={large ? 32 : 20} />
          <span>{t(MISSING[picture.missing])}</span>
        </div>
      )}
      <figcaption dir="auto">{picture.label}</figcaption>
      {of && (picture.pinned || !large) && (
        <Tooltip label={t(picture.pinned ? "room.unpin" : "room.pin")}>
          <ActionIcon
            className={classes.pin ?? ""}
            variant="filled"
            color="dark"
            size="lg"
            aria-label={t(picture.pinned ? "room.unpinOf" : "room.pinOf", { name: picture.label })}
            aria-pressed={picture.pinned}
            onClick={() => {
              room.pin(picture.pinned ? null : of);
            }}
          >
            {picture.pinned ? <IconPinnedOff size={18} /> : <IconPin size={18} />}
          </ActionIcon>
        </Tooltip>
      )}
    </figure>
  );
}

/** What is to be heard: every microphone on the stage but our own. */
export function Sound({ state }: { state: ClassState }) {
  const { t } = useTranslation();
  const [blocked, setBlocked] = useState(false);
  const heard = state.slots.flatMap((slot) => {
    const track = state.tracks.get(slot.mid);
    const foreign = slot.participant !== null && slot.participant !== state.me?.userId;
    return slot.kind === "audio" && foreign && track ? [{ mid: slot.mid, track }] : [];
  });
  const unblock = () => {
    document.querySelectorAll("audio").forEach((element) => void element.play());
    setBlocked(false);
  };
  return (
    <>
      {heard.map(({ mid, track }) => (
        <Voice
          key={mid}
          track={track}
          onBlocked={() => {
            setBlocked(true);
          }}
        />
      ))}
      {blocked && (
        <Button
          className={classes.unblock ?? ""}
          color="amber.5"
          c="black"
          leftSection={<IconVolume size={18} />}
          onClick={unblock}
        >
          {t("room.sound")}
        </Button>
      )}
    </>
  );
}

function Voice({ track, onBlocked }: { track: MediaStreamTrack; onBlocked: () => void }) {
  const audio = useRef<HTMLAudioElement>(null);
  const blocked = useRef(onBlocked);
  useEffect(() => {
    blocked.current = onBlocked;
  });
  useEffect(() => {
    const element = audio.current;
    if (!element) return;
    element.srcObject = new MediaStream([track]);
    element.play().catch((error: unknown) => {
      if (error instanceof DOMException && error.name === "NotAllowedError") blocked.current();
    });
  }, [track]);
  return <audio ref={audio} autoPlay />;
}
