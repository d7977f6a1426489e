import { api, ApiError, freshAccessToken, type LiveSession } from "../../api/client";
import {
  SocketRefusal,
  type Attendee,
  type ChatMessage,
  type Quality,
  type Slot,
  type Source,
  type Welcome,
} from "../../signaling/messages";
import { ClassroomSocket } from "../../signaling/socket";
import type { DataChoice } from "../../media/data-use";
import { ClassMedia, noMedia, type MediaNotice, type MediaState } from "./class-media";

/** Where somebody stands on their way through a class. */
export type Phase =
  | "preview"
  | "joining"
  | "waiting"
  | "full"
  | "in"
  | "reconnecting"
  | "ended"
  | "cancelled"
  | "superseded"
  | "removed"
  | "elsewhere"
  | "lost"
  | "left"
  | "error";

export interface ClassState extends MediaState {
  phase: Phase;
  error: ApiError | null;
  session: LiveSession | null;
  /** Where the class is held, when that is another site. */
  elsewhere: string | null;
  me: Welcome["you"] | null;
  attendees: ReadonlyMap<string, Attendee>;
  chat: readonly ChatMessage[];
  slots: readonly Slot[];
  /** What we are sent of each picture, by its place. */
  quality: Readonly<Record<string, Quality>>;
  /** Who speaks, the loudest voice first. */
  speaking: readonly string[];
  /** Whose picture the person wants large. */
  pinned: Pinned | null;
  notice: Notice | null;
}

export type Pinned = Pick<Slot, "participant" | "source">;

export function isPinned(pinned: Pinned | null, { participant, source }: Pinned): boolean {
  return pinned?.participant === participant && pinned.source === source;
}

export type Notice = MediaNotice | "chatFast";

const nobody = (): ClassState => ({
  phase: "preview",
  error: null,
  session: null,
  elsewhere: null,
  me: null,
  attendees: new Map(),
  chat: [],
  slots: [],
  quality: {},
  speaking: [],
  pinned: null,
  notice: null,
  ...noMedia(),
});

const LOOK_AGAIN_MS = 2_000;
const BACKOFF_MS = [300, 1_000, 2_000, 4_000, 5_000];
const LOST_BY_REASON: Record<string, Phase> = {
  kicked: "removed",
  banned: "removed",
  left: "left",
};

/** One person's way through one class: seat, socket, media. The page shows its state and calls its deeds. */
export class ClassSession {
  private state: ClassState = nobody();
  private readonly listeners = new Set<() => void>();
  private socket: ClassroomSocket | null = null;
  private readonly media: ClassMedia;
  private readonly device = crypto.randomUUID();
  private timer: number | undefined;
  private attempt = 0;
  private closed = false;

  constructor(readonly id: string) {
    this.media = new ClassMedia(
      id,
      () => this.socket,
      (media) => {
        this.set(media);
      },
      (notice) => {
        this.set({ notice });
      },
    );
    window.addEventListener("online", this.backOnline);
  }

  // A store React can read.

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): ClassState => this.state;

  private set(change: Partial<ClassState>): void {
    this.state = { ...this.state, ...change };
    this.listeners.forEach((listener) => {
      listener();
    });
  }

  // The way in

  async load(): Promise<void> {
    try {
      const session = await api.session(this.id);
      this.set({ session });
      if (session.status === "ended") this.set({ phase: "ended" });
      if (session.status === "cancelled") this.set({ phase: "cancelled" });
    } catch (error) {
      this.fail(error);
    }
  }

  /** Open the class (staff) and go in. */
  async start(): Promise<void> {
    this.set({ phase: "joining" });
    try {
      this.set({ session: await api.start(this.id) });
    } catch (error) {
      this.fail(error);
      return;
    }
    await this.join();
  }

  /** Take a seat and go in; where that is not possible yet, wait and try again. */
  async join(): Promise<void> {
    if (this.closed) return;
    window.clearTimeout(this.timer);
    if (this.state.phase !== "reconnecting" && this.state.phase !== "full")
      this.set({ phase: "joining", error: null });
    try {
      const admission = await api.join(this.id);
      this.set({ session: admission.session });
      if ("externalUrl" in admission) {
        this.set({ phase: "elsewhere", elsewhere: admission.externalUrl });
        return;
      }
      const socket = await ClassroomSocket.open(admission.ticket, this.device, (opening) => {
        this.listen(opening);
      });
      if (this.isClosed()) {
        socket.close();
        return;
      }
      this.attempt = 0;
    } catch (error) {
      this.refused(error);
    }
  }

  private isClosed(): boolean {
    return this.closed;
  }

  private refused(error: unknown): void {
    const code =
      error instanceof ApiError
        ? error.code
        : error instanceof SocketRefusal
          ? error.refused.code
          : "offline";
    switch (code) {
      case "session_not_started":
        this.set({ phase: "waiting" });
        this.lookAgain();
        break;
      case "session_full":
        this.set({ phase: "full" });
        this.lookAgain();
        break;
      case "session_ended":
        this.finish("ended");
        break;
      case "session_cancelled":
        this.finish("cancelled");
        break;
      case "removed":
        this.finish("removed");
        break;
      case "not_found":
      case "not_enrolled":
      case "forbidden_role":
      case "account_disabled":
        this.fail(error);
        break;
      default:
        // A busy or absent server, a ticket that was too slow: the seat is kept, so try again.
        if (this.state.phase !== "joining") this.set({ phase: "reconnecting" });
        this.tryLater();
    }
  }

  private tryLater(): void {
    const delay = BACKOFF_MS[Math.min(this.attempt, BACKOFF_MS.length - 1)] ?? 5_000;
    this.attempt += 1;
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.join(), delay * (0.8 + Math.random() * 0.4));
  }

  /** The network is back: not only with the next try. */
  private readonly backOnline = (): void => {
    if (this.state.phase === "reconnecting") void this.join();
  };

  private lookAgain(): void {
    window.clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.look(), LOOK_AGAIN_MS);
  }

  private async look(): Promise<void> {
    if (this.closed || (this.state.phase !== "waiting" && this.state.phase !== "full")) return;
    try {
      const now = await api.status(this.id);
      const over = now.status === "ended" || now.status === "cancelled";
      if (over || (now.status === "live" && now.seats.free > 0)) {
        await this.join();
        return;
      }
      if (now.status === "live" && this.state.phase === "waiting" && !this.state.session?.isStaff)
        this.set({ phase: "full" });
    } catch {
      // The next look may get through.
    }
    this.lookAgain();
  }

  private fail(error: unknown): void {
    const shown = error instanceof ApiError ? error : new ApiError(0, "offline", "", String(error));
    this.finish("error");
    this.set({ error: shown });
  }

  /** Leave the way: nothing runs any more, the page says why. */
  private finish(phase: Phase): void {
    window.clearTimeout(this.timer);
    this.socket?.close();
    this.socket = null;
    this.media.close();
    this.set({ phase, slots: [] });
  }

  /** Called when the page is left. */
  close(): void {
    this.closed = true;
    window.removeEventListener("online", this.backOnline);
    this.finish(this.state.phase);
    this.listeners.clear();
  }

  // What the server says

  private listen(socket: ClassroomSocket): void {
    this.socket?.close();
    this.socket = socket;
    const current = <T>(event: string, listener: (said: T) => void) => {
      socket.on<T>(event, (said) => {
        if (this.socket === socket) listener(said);
      });
    };
    current<Welcome>("welcome", (welcome) => void this.welcomed(welcome));
    current<Attendee>("attendee", (attendee) => {
      this.attendee(attendee);
    });
    current<{ userId: string }>("attendee.left", ({ userId }) => {
      const attendees = new Map(this.state.attendees);
      attendees.delete(userId);
      this.set({ attendees });
    });
    current<ChatMessage>("chat.said", (message) => {
      this.set({ chat: [...this.state.chat, message].slice(-500) });
    });
    current<{ slots: Slot[] }>("media.slots", ({ slots }) => {
      this.set({ slots });
      this.tellPinned();
    });
    current<{ source: Source }>("media.muted", ({ source }) => {
      this.media.mutedByTeacher(source);
    });
    current<{ source: Source }>("media.replaced", ({ source }) => {
      this.media.replaced(source);
    });
    current<{ slots: Record<string, Quality> }>("media.quality", ({ slots }) => {
      this.set({ quality: slots });
    });
    current<{ source: Source; awake: string[] }>("media.layers", ({ source, awake }) => {
      this.media.wake(source, awake);
    });
    current<{ speaking: string[] }>("media.speakers", ({ speaking }) => {
      this.set({ speaking });
    });
    current("media.lost", () => void this.media.negotiateAnew());
    current<{ id: number; kind: string; state: string }>("media.transport", (said) => {
      if (said.state === "closed") void this.media.connectionClosed(said.kind, said.id);
    });
    current("auth.expiring", () => void this.renewAccess());
    current("session.changed", () => void this.load());
    current("session.ended", () => {
      this.finish("ended");
    });
    current("seat.superseded", () => {
      this.finish("superseded");
    });
    current<{ code: string }>("seat.lost", ({ code }) => {
      this.finish(LOST_BY_REASON[code] ?? "lost");
    });
    current("disconnect", () => {
      this.socket = null;
      this.set({ phase: "reconnecting" });
      this.tryLater();
    });
  }

  private async welcomed(welcome: Welcome): Promise<void> {
    // The offer is asked for before the page is drawn. After a lost socket the media may never have
    // stopped: it is kept then.
    const muted = welcome.slots.some(
      ({ source, participant, paused }) =>
        source === "microphone" && participant === welcome.you.userId && paused,
    );
    const resumed = this.media.resume(welcome.media, muted);
    this.set({
      phase: "in",
      me: welcome.you,
      attendees: new Map(welcome.attendees.map((one) => [one.userId, one])),
      chat: welcome.chat,
      slots: welcome.slots,
      notice: null,
    });
    this.tellPinned();
    await resumed;
  }

  private attendee(attendee: Attendee): void {
    const attendees = new Map(this.state.attendees);
    attendees.set(attendee.userId, attendee);
    this.set({ attendees });
    if (attendee.userId === this.state.me?.userId && attendee.role === "student")
      this.media.keepOnly(attendee.floor);
  }

  private async renewAccess(): Promise<void> {
    const token = await freshAccessToken();
    if (token)
      await this.socket?.ask("auth.refresh", { accessToken: token }).catch(() => undefined);
  }

  // Media

  toggle(source: Source, deviceId?: string): Promise<void> {
    return this.media.toggle(source, deviceId);
  }

  chooseData(choice: DataChoice): void {
    this.media.chooseData(choice);
  }

  startSending(source: Source, deviceId?: string): Promise<void> {
    return this.media.start(source, deviceId);
  }

  /** A picture of the stage is shown this high, or no more. */
  show(mid: string, height: number | null): void {
    this.media.show(mid, height);
  }

  /** Show a picture large, wherever it stands, or the one that usually is. */
  pin(pinned: Pinned | null): void {
    this.set({ pinned });
    this.tellPinned();
  }

  private tellPinned(): void {
    const { pinned, slots } = this.state;
    this.media.pin(slots.find((slot) => isPinned(pinned, slot))?.mid ?? null);
  }

  // Deeds in the class

  async say(text: string): Promise<boolean> {
    try {
      await this.socket?.ask("chat.say", { text });
      return true;
    } catch (error) {
      const fast = error instanceof SocketRefusal && error.refused.code === "too_many_requests";
      this.set({ notice: fast ? "chatFast" : "failed" });
      return false;
    }
  }

  raiseHand(up: boolean): void {
    this.order("hand.raise", { up });
  }

  giveFloor(userId: string): void {
    this.order("floor.give", { userId, sources: ["microphone", "camera"] });
  }

  takeFloor(userId: string): void {
    this.order("floor.take", { userId });
  }

  mute(userId: string): void {
    this.order("mute", { userId, source: "microphone" });
  }

  putOut(userId: string, ban: boolean): void {
    this.order("seat.kick", { userId, ban });
  }

  private order(event: string, payload: object): void {
    this.socket?.ask(event, payload).catch((error: unknown) => {
      const full = error instanceof SocketRefusal && error.refused.code === "floor_full";
      this.set({ notice: full ? "floorFull" : "failed" });
    });
  }

  forgetNotice(): void {
    this.set({ notice: null });
  }

  async leave(): Promise<void> {
    await api.leave(this.id).catch(() => undefined);
    this.finish("left");
  }

  async end(): Promise<void> {
    try {
      await api.end(this.id);
      this.finish("ended");
    } catch {
      this.set({ notice: "failed" });
    }
  }

  /** For tests: what the browser counts on the connection we watch on. */
  stats(): Promise<RTCStatsReport | null> {
    return this.media.subscriber.stats();
  }
}
