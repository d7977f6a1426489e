import { Alert, Button, Card, Center, Group, Progress, Select, Stack, Text } from "@mantine/core";
import { IconCamera, IconMicrophone, IconVideoOff } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { LiveSession } from "../../api/client";
import { DeviceError, listDevices, openDevice, type DeviceProblem } from "../../media/devices";
import { LanguageSwitch, Logo } from "../../shell/shell";
import { useWhen } from "../format";
import type { ClassSession } from "./class-session";
import classes from "./classroom.module.css";
import { ProgramKey } from "./program-key";
import { remember, type Devices } from "./chosen-devices";

/** Before the class: see yourself, hear that the microphone works, choose devices, go in. */
export function Preview({ room, session }: { room: ClassSession; session: LiveSession }) {
  const { t } = useTranslation();
  const when = useWhen();
  // A teacher will be seen; a student only if the teacher says so, and need not open anything now.
  const [checking, setChecking] = useState(session.isStaff);
  const [devices, setDevices] = useState<Devices>({});
  const live = session.status === "live";
  const enter = async () => {
    remember(devices);
    await (session.isStaff && !live ? room.start() : room.join());
  };
  const go = session.isStaff
    ? t(live ? "room.preview.enter" : "room.preview.start")
    : t("room.preview.join");
  return (
    <Center mih="100dvh" p="md" className={classes.doorway ?? ""}>
      <Card radius="lg" padding="lg" w="100%" maw={560} className={classes.preview ?? ""}>
        <Stack>
          <Group justify="space-between">
            <Logo />
            <LanguageSwitch />
          </Group>
          <Stack gap={2}>
            <Text component="h1" m={0} fz={24} fw={800}>
              {t(session.isStaff ? "room.preview.titleStaff" : "room.preview.titleStudent")}
            </Text>
            <Text fw={600}>
              <bdi>{session.title}</bdi>
            </Text>
            <Text size="sm" c="dimmed">
              {when.moment(session.startTime)} · {t("common.minutes", { count: session.duration })}
            </Text>
          </Stack>
          {checking ? (
            <DeviceCheck chosen={devices} onChoose={setDevices} />
          ) : (
            <Button
              variant="default"
              onClick={() => {
                setChecking(true);
              }}
            >
              {t("room.preview.check")}
            </Button>
          )}
          <Text size="sm" c="dimmed">
            {t(session.isStaff ? "room.preview.leadStaff" : "room.preview.leadStudent")}
          </Text>
          <Button size="lg" onClick={enter}>
            {go}
          </Button>
          <Button component={Link} to="/network-test" variant="subtle" size="compact-md">
            {t("network.link")}
          </Button>
          <ProgramKey session={session.id} use={session.isStaff ? "encoder" : "player"} />
          <Button component={Link} to="/classes" variant="subtle" size="compact-md">
            {t("common.back")}
          </Button>
        </Stack>
      </Card>
    </Center>
  );
}

interface CheckProps {
  chosen: Devices;
  onChoose: (devices: Devices) => void;
}

function DeviceCheck({ chosen, onChoose }: CheckProps) {
  const { t } = useTranslation();
  const video = useRef<HTMLVideoElement>(null);
  const [camera, setCamera] = useState<MediaStreamTrack | null>(null);
  const [microphone, setMicrophone] = useState<MediaStreamTrack | null>(null);
  const [problem, setProblem] = useState<DeviceProblem | null>(null);
  const cameras = useDeviceList("videoinput", camera);
  const microphones = useDeviceList("audioinput", microphone);
  const level = useLevel(microphone);

  useTrack("camera", chosen.camera, setCamera, setProblem);
  useTrack("microphone", chosen.microphone, setMicrophone, setProblem);
  useEffect(() => {
    if (video.current) video.current.srcObject = camera ? new MediaStream([camera]) : null;
  }, [camera]);

  return (
    <Stack gap="sm">
      {problem && <Alert color="amber">{t(`room.preview.${problem}`)}</Alert>}
      <div className={classes.mirror}>
        <video ref={video} autoPlay muted playsInline hidden={!camera} />
        {!camera && (
          <Stack align="center" gap={4}>
            <IconVideoOff />
            <Text size="sm">{t("room.preview.cameraOff")}</Text>
          </Stack>
        )}
      </div>
      <Stack gap={4}>
        <Progress value={level} color="pine.5" aria-label={t("room.preview.level")} />
        <Text size="xs" c="dimmed">
          {t("room.preview.level")}
        </Text>
      </Stack>
      <Group grow preventGrowOverflow={false}>
        <Select
          label={t("room.preview.camera")}
          leftSection={<IconCamera size={16} />}
          data={cameras}
          value={chosen.camera ?? cameras[0]?.value ?? null}
          placeholder={t("room.preview.noDevice")}
          onChange={(id) => {
            onChoose({ ...chosen, ...(id ? { camera: id } : {}) });
          }}
          allowDeselect={false}
        />
        <Select
          label={t("room.preview.microphone")}
          leftSection={<IconMicrophone size={16} />}
          data={microphones}
          value={chosen.microphone ?? microphones[0]?.value ?? null}
          placeholder={t("room.preview.noDevice")}
          onChange={(id) => {
            onChoose({ ...chosen, ...(id ? { microphone: id } : {}) });
          }}
          allowDeselect={false}
        />
      </Group>
    </Stack>
  );
}

/** Hold a device open while the check is shown, and let go of it after. */
function useTrack(
  kind: "camera" | "microphone",
  deviceId: string | undefined,
  show: (track: MediaStreamTrack | null) => void,
  fail: (problem: DeviceProblem) => void,
): void {
  useEffect(() => {
    let over = false;
    let open: MediaStreamTrack | null = null;
    openDevice(kind, deviceId).then(
      (track) => {
        if (over) track.stop();
        else show((open = track));
      },
      (error: unknown) => {
        if (!over) fail(error instanceof DeviceError ? error.problem : "noDevice");
      },
    );
    return () => {
      over = true;
      open?.stop();
    };
  }, [kind, deviceId, show, fail]);
}

function useDeviceList(kind: MediaDeviceKind, opened: unknown): { value: string; label: string }[] {
  const [list, setList] = useState<{ value: string; label: string }[]>([]);
  useEffect(() => {
    void listDevices(kind).then((devices) => {
      setList(devices.map((one) => ({ value: one.deviceId, label: one.label || kind })));
    });
    // Labels are told only once a device of the kind was opened.
  }, [kind, opened]);
  return list;
}

function useLevel(track: MediaStreamTrack | null): number {
  const [level, setLevel] = useState(0);
  useEffect(() => {
    if (!track) return undefined;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 512;
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = window.setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const power = samples.reduce((sum, value) => sum + value * value, 0) / samples.length;
      setLevel(Math.min(100, Math.max(0, 100 + 20 * Math.log10(Math.sqrt(power) + 1e-5))));
    }, 100);
    return () => {
      window.clearInterval(timer);
      void context.close();
    };
  }, [track]);
  return level;
}
