import { useEffect, useMemo, useSyncExternalStore } from "react";
import { useParams } from "react-router";
import { warmUp } from "../../media/subscriber";
import { Waiting } from "../../shell/shell";
import { ClassSession } from "./class-session";
import { Doorway } from "./doorway";
import { Preview } from "./preview";
import { Room } from "./room";

declare global {
  interface Window {
    /** The running class, for browser tests and for a curious person at the console. */
    liveserverClass?: ClassSession;
  }
}

export default function ClassroomPage() {
  const { session: id = "" } = useParams();
  const room = useMemo(() => new ClassSession(id), [id]);
  const state = useSyncExternalStore(room.subscribe, room.snapshot);
  useEffect(() => {
    window.liveserverClass = room;
    void room.load();
    void warmUp();
    const leave = () => {
      room.close();
    };
    window.addEventListener("pagehide", leave);
    return () => {
      window.removeEventListener("pagehide", leave);
      room.close();
    };
  }, [room]);
  if (state.phase === "in" || state.phase === "reconnecting")
    return state.me ? <Room room={room} state={state} /> : <Waiting />;
  if (state.phase === "preview")
    return state.session ? <Preview room={room} session={state.session} /> : <Waiting />;
  return <Doorway room={room} state={state} />;
}
