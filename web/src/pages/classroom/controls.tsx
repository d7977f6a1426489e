import { Button, Group, Text, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import {
  IconDoorExit,
  IconHandStop,
  IconMicrophone,
  IconMicrophoneOff,
  IconPlayerStop,
  IconScreenShare,
  IconScreenShareOff,
  IconVideo,
  IconVideoOff,
} from "@tabler/icons-react";
import { useEffect, useRef, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { canShareScreen } from "../../media/devices";
import { chosenDevices } from "./chosen-devices";
import type { ClassSession, ClassState } from "./class-session";
import classes from "./classroom.module.css";
import { standsOnStage } from "./stage";
import { Sure } from "./sure";

/** The bar of deeds: what one may send, the hand, the way out. */
export function Controls({ room, state }: { room: ClassSession; state: ClassState }) {
  const { t } = useTranslation();
  const [leaving, leave] = useDisclosure(false);
  const [ending, end] = useDisclosure(false);
  const staff = state.me?.role === "staff";
  const self = state.me ? state.attendees.get(state.me.userId) : undefined;
  const floor = self?.floor ?? [];
  const mayMic = staff || floor.includes("microphone");
  const mayCamera = staff || floor.includes("camera");
  const hand = Boolean(self?.hand);
  useFirstSight(room, state, staff);
  const speaking = state.sending.has("microphone") && !state.muted;
  const filming = state.sending.has("camera");
  const sharing = state.sending.has("screen");
  const waits =
    (speaking && !standsOnStage(state, "microphone")) ||
    (filming && !standsOnStage(state, "camera"));
  return (
    <footer className={classes.controls}>
      {!staff && (mayMic || mayCamera) && (
        <div className={classes.floor} role="status">
          <Text fw={700} size="sm">
            {t("room.floorTitle")}
          </Text>
          {!speaking && !filming && <Text size="sm">{t("room.floorLead")}</Text>}
          {waits && <Text size="sm">{t("room.floorWaits")}</Text>}
          <Button
            size="compact-sm"
            variant="white"
            color="dark"
            onClick={() => {
              if (state.me) room.takeFloor(state.me.userId);
            }}
          >
            {t("room.giveBack")}
          </Button>
        </div>
      )}
      <Group gap={6} justify="center" align="stretch" wrap="nowrap">
        {mayMic && (
          <Deed
            label={t(speaking ? "room.mute" : "room.unmute")}
            on={speaking}
            icon={speaking ? <IconMicrophone /> : <IconMicrophoneOff />}
            act={() => room.toggle("microphone", chosenDevices().microphone)}
          />
        )}
        {mayCamera && (
          <Deed
            label={t(filming ? "room.cameraOff" : "room.cameraOn")}
            on={filming}
            icon={filming ? <IconVideo /> : <IconVideoOff />}
            act={() => room.toggle("camera", chosenDevices().camera)}
          />
        )}
        {staff && canShareScreen() && (
          <Deed
            label={t(sharing ? "room.stopShare" : "room.share")}
            on={sharing}
            icon={sharing ? <IconScreenShareOff /> : <IconScreenShare />}
            act={() => room.toggle("screen")}
          />
        )}
        {!staff && (
          <Deed
            label={t(hand ? "room.lower" : "room.raise")}
            on={hand}
            icon={<IconHandStop />}
            act={() => {
              room.raiseHand(!hand);
            }}
          />
        )}
        <Deed label={t("room.leave")} icon={<IconDoorExit />} act={leave.open} />
        {staff && <Deed label={t("room.end")} danger icon={<IconPlayerStop />} act={end.open} />}
      </Group>
      <Sure
        opened={leaving}
        close={leave.close}
        title={t("room.leaveTitle")}
        lead={t(staff ? "room.leaveStaffLead" : "room.leaveLead")}
        deed={t("room.leave")}
        act={() => room.leave()}
      />
      <Sure
        opened={ending}
        close={end.close}
        title={t("room.endTitle")}
        lead={t("room.endLead")}
        deed={t("room.endConfirm")}
        act={() => room.end()}
      />
    </footer>
  );
}

/** A teacher who enters is seen and heard: that is why they came. */
function useFirstSight(room: ClassSession, state: ClassState, staff: boolean): void {
  const done = useRef(false);
  useEffect(() => {
    if (done.current || !staff || state.phase !== "in") return;
    done.current = true;
    const { camera, microphone } = chosenDevices();
    void room
      .startSending("camera", camera)
      .then(() => room.startSending("microphone", microphone));
  }, [room, staff, state.phase]);
}

interface DeedProps {
  label: string;
  icon: ReactNode;
  act: () => unknown;
  on?: boolean;
  danger?: boolean;
}

function Deed({ label, icon, act, on, danger = false }: DeedProps) {
  return (
    <UnstyledButton
      className={classes.deed ?? ""}
      data-on={on}
      data-danger={danger}
      onClick={() => act()}
      aria-pressed={on}
    >
      {icon}
      <span>{label}</span>
    </UnstyledButton>
  );
}
