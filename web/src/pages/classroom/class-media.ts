import { chosenData, LIMITS, Meter, rememberData, type DataChoice } from "../../media/data-use";
import { DeviceError, openDevice, openScreen, type DeviceProblem } from "../../media/devices";
import { ConnectionClosed, Publisher, PublishRefused } from "../../media/publisher";
import { Subscriber, type LinkState } from "../../media/subscriber";
import { SocketRefusal, type Source, type Welcome } from "../../signaling/messages";
import type { ClassroomSocket } from "../../signaling/socket";

export type MediaNotice =
  "capped" | "mutedByTeacher" | "replaced" | "floorFull" | DeviceProblem | "failed";

export interface MediaState {
  /** Tracks of the connection we watch on, by section. */
  tracks: ReadonlyMap<string, MediaStreamTrack>;
  link: LinkState;
  /** Our own tracks that are being sent. */
  sending: ReadonlyMap<Source, MediaStreamTrack>;
  muted: boolean;
  data: DataState;
}

/** What the class has taken of the person's data, and may; `capped` when that is used up. */
export interface DataState {
  choice: DataChoice;
  bytes: number;
  hourly: number | null;
  capped: boolean;
}

export function noMedia(): MediaState {
  return {
    tracks: new Map(),
    link: "connecting",
    sending: new Map(),
    muted: false,
    data: { choice: chosenData(), bytes: 0, hourly: null, capped: false },
  };
}

const TRY_AGAIN_MS = 2_000;
const SIZES_SETTLE_MS = 250;
const METER_MS = 2_000;
const LINK_PATIENCE_MS = 1_500;
const PATH_PATIENCE_MS = 5_000; // for a new path to be found before the next is looked for
const SIGN_OF_LIFE_MS = 300;

/** What one person sends and sees in a class: two connections, and the way back when one is lost. */
export class ClassMedia {
  private state: MediaState = noMedia();
  private queue: Promise<unknown> = Promise.resolve();
  private readonly sizes = new Map<string, number>();
  private pathTimer = 0;
  private restartedAt = -Infinity;
  /** What the server knows of our microphone. */
  private toldMuted = false;
  private pinned: string | null = null;
  private sizesTimer = 0;
  private readonly meter: Meter;
  private readonly meterTimer = window.setInterval(() => void this.measure(), METER_MS);
  readonly subscriber: Subscriber;
  readonly publisher: Publisher;

  constructor(
    session: string,
    /** The socket that is open now: connections outlive it. */
    private readonly socket: () => ClassroomSocket | null,
    private readonly changed: (state: MediaState) => void,
    private readonly notify: (notice: MediaNotice) => void,
  ) {
    this.meter = new Meter(session);
    this.subscriber = new Subscriber(
      () => {
        this.set({ tracks: new Map(this.subscriber.tracks) });
      },
      (link) => {
        this.set({ link });
        if (link === "connected") this.tellSizes();
        if (link === "failed" || link === "disconnected") this.findNewPath(LINK_PATIENCE_MS);
      },
    );
    this.publisher = new Publisher(() => {
      this.findNewPath(LINK_PATIENCE_MS);
    });
    document.addEventListener("visibilitychange", this.tellSizes);
  }

  // What we see: the server sends no more than that.

  /** A picture is shown this high, in pixels of the screen; null when it is gone. */
  show(mid: string, height: number | null): void {
    if (height === null) this.sizes.delete(mid);
    else this.sizes.set(mid, Math.round(height));
    this.tellSizes();
  }

  /** The picture of this section matters most to the person. */
  pin(mid: string | null): void {
    if (mid === this.pinned) return;
    this.pinned = mid;
    this.tellSizes();
  }

  private readonly tellSizes = (): void => {
    window.clearTimeout(this.sizesTimer);
    this.sizesTimer = window.setTimeout(() => {
      const sizes = Object.fromEntries(this.sizes);
      const { choice, capped } = this.state.data;
      if (document.hidden || capped || choice.plan === "sound")
        for (const mid of this.subscriber.tracks.keys()) sizes[mid] = 0;
      void this.socket()
        ?.ask("media.view", { sizes, limit: LIMITS[choice.plan], pinned: this.pinned })
        .catch(() => undefined);
    }, SIZES_SETTLE_MS);
  };

  /** The person says how much the class may take of their data. */
  chooseData(choice: DataChoice): void {
    rememberData(choice);
    const before = this.state.data.capped;
    this.set({ data: { ...this.state.data, choice, capped: this.isCapped(choice) } });
    this.tellSizes();
    this.keepCap(before);
  }

  /** From the cap on there is sound only, both ways. */
  private keepCap(before: boolean): void {
    if (!this.state.data.capped) return;
    for (const source of ["camera", "screen"] as const)
      if (this.state.sending.has(source)) void this.stop(source);
    if (before) return;
    this.tellSizes();
    this.notify("capped");
  }

  private isCapped({ cap }: DataChoice): boolean {
    return cap > 0 && this.meter.bytes >= cap * 1_000_000;
  }

  private async measure(): Promise<void> {
    this.meter.note(`watching ${String(this.subscriber.id)}`, await this.subscriber.stats());
    const sending = await this.publisher.stats();
    this.meter.note(`sending ${String(this.publisher.id)}`, sending);
    await this.publisher.fit(sending);
    const { data } = this.state;
    const capped = this.isCapped(data.choice);
    const { bytes, hourly } = this.meter;
    this.set({ data: { ...data, bytes, hourly, capped } });
    this.keepCap(data.capped);
  }

  /** The server says which qualities of a source are watched. */
  wake(source: Source, awake: readonly string[]): void {
    void this.publisher.wake(source, awake);
  }

  private set(change: Partial<MediaState>): void {
    this.state = { ...this.state, ...change };
    this.changed(this.state);
  }

  // Connections: one deed at a time, or one would close what another negotiates.

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.queue.then(work);
    this.queue = turn.catch(() => undefined);
    return turn;
  }

  /**
   * After a welcome: what the server still has of this page goes on, the rest is opened anew; and what could not
   * be told meanwhile is told. `muted`: the server forwards nothing of our microphone.
   */
  async resume(known: Welcome["media"], muted: boolean): Promise<void> {
    await this.negotiating(async (socket) => {
      const stale = known.publish !== this.publisher.id;
      if (stale) this.publisher.close();
      if (known.subscribe === null || known.subscribe !== this.subscriber.id)
        await this.subscriber.open(socket);
      else if (this.publisher.isLost || !(await this.arrives())) await this.restart(socket);
      if (this.state.sending.size && stale) await this.sendAgain(socket);
      else if (muted && !this.toldMuted) this.mutedByTeacher("microphone");
      await this.tellMuted(socket);
    });
    this.tellSizes();
  }

  /** Say whether anything comes over the connection we watch on: what took the socket may have taken it as well. */
  private async arrives(): Promise<boolean> {
    if (this.state.link !== "connected") return false;
    const before = await this.subscriber.arrived();
    await new Promise((done) => window.setTimeout(done, SIGN_OF_LIFE_MS));
    return (await this.subscriber.arrived()) !== before;
  }

  private isLost(): boolean {
    const { link } = this.state;
    return link === "disconnected" || link === "failed" || this.publisher.isLost;
  }

  private async restart(socket: ClassroomSocket): Promise<void> {
    this.restartedAt = performance.now();
    await this.subscriber.restart(socket);
    await this.publisher.negotiate(socket, true);
  }

  private async sendAgain(socket: ClassroomSocket): Promise<void> {
    this.toldMuted = false;
    await this.publisher.again(socket, this.state.sending);
    await this.tellMuted(socket);
  }

  /** The media server was replaced. */
  async negotiateAnew(): Promise<void> {
    await this.negotiating(async (socket) => {
      await this.subscriber.open(socket);
      await this.sendAgain(socket);
    });
  }

  /** The server closed one of the connections. */
  async connectionClosed(kind: string, id: number): Promise<void> {
    await this.negotiating(async (socket) => {
      if (kind === "subscribe" && id === this.subscriber.id) await this.subscriber.open(socket);
      if (kind === "publish" && id === this.publisher.id) await this.sendAgain(socket);
    });
  }

  private async negotiating(work: (socket: ClassroomSocket) => Promise<void>): Promise<void> {
    const socket = this.socket();
    if (!socket) return;
    try {
      await this.inTurn(() => work(socket));
    } catch (error) {
      const code = error instanceof SocketRefusal ? error.refused.code : "";
      if (code === "media_unavailable")
        window.setTimeout(() => void this.negotiateAnew(), TRY_AGAIN_MS);
      // A lost socket is no fault of the media: the next welcome resumes it.
      else if (socket.connected && code !== "offline" && !(error instanceof ConnectionClosed))
        this.notify("failed");
    }
  }

  /** The network changed under us: ICE restarts until it is found again. */
  private findNewPath(patience: number): void {
    window.clearTimeout(this.pathTimer);
    const wait = Math.max(patience, this.restartedAt + PATH_PATIENCE_MS - performance.now());
    this.pathTimer = window.setTimeout(() => {
      if (!this.isLost()) return;
      // Until the page is in the class again, which restarts what is lost, or this has had its turn.
      void this.negotiating(async (socket) => {
        if (this.isLost() && socket === this.socket()) await this.restart(socket);
      }).then(() => {
        if (this.isLost()) this.findNewPath(PATH_PATIENCE_MS);
      });
    }, wait);
  }

  // What we send

  async toggle(source: Source, deviceId?: string): Promise<void> {
    if (source === "microphone" && this.state.sending.has("microphone"))
      await this.setMuted(!this.state.muted);
    else if (this.state.sending.has(source)) await this.stop(source);
    else await this.start(source, deviceId);
  }

  async start(source: Source, deviceId?: string): Promise<void> {
    const socket = this.socket();
    if (!socket) return;
    let track: MediaStreamTrack | null;
    try {
      track = source === "screen" ? await openScreen() : await openDevice(source, deviceId);
    } catch (error) {
      this.notify(error instanceof DeviceError ? error.problem : "failed");
      return;
    }
    if (track) await this.send(socket, source, track);
  }

  private async send(
    socket: ClassroomSocket,
    source: Source,
    track: MediaStreamTrack,
  ): Promise<void> {
    track.addEventListener("ended", () => void this.stop(source));
    // Known before it is negotiated: a connection opened anew meanwhile takes it along.
    this.set({
      sending: new Map(this.state.sending).set(source, track),
      ...(source === "microphone" ? { muted: false } : {}),
    });
    try {
      await this.inTurn(async () => {
        if (source === "microphone") this.toldMuted = false; // a mute ends with what was muted
        await this.publisher.send(socket, source, track);
        await this.tellMuted(socket);
      });
    } catch (error) {
      if (error instanceof ConnectionClosed || !socket.connected) return;
      await this.stop(source);
      const full = error instanceof PublishRefused && error.code === "floor_full";
      this.notify(full ? "floorFull" : "failed");
    }
  }

  async stop(source: Source): Promise<void> {
    const sending = new Map(this.state.sending);
    sending.get(source)?.stop();
    sending.delete(source);
    this.set({ sending });
    await this.negotiating((socket) => this.publisher.stop(socket, source));
  }

  /** Stop every source that is not allowed any more. */
  keepOnly(allowed: readonly Source[]): void {
    for (const source of this.state.sending.keys())
      if (!allowed.includes(source)) void this.stop(source);
  }

  async setMuted(muted: boolean): Promise<void> {
    const track = this.state.sending.get("microphone");
    if (!track) return;
    track.enabled = !muted;
    this.set({ muted });
    await this.negotiating((socket) => this.tellMuted(socket));
  }

  private async tellMuted(socket: ClassroomSocket): Promise<void> {
    const { muted, sending } = this.state;
    if (!sending.has("microphone") || muted === this.toldMuted) return;
    await socket.ask("media.pause", { source: "microphone", paused: muted });
    this.toldMuted = muted;
  }

  /** The teacher stopped a source of ours. */
  mutedByTeacher(source: Source): void {
    if (source === "microphone") {
      const track = this.state.sending.get("microphone");
      if (track) track.enabled = false;
      this.set({ muted: true });
      this.toldMuted = true;
    } else {
      void this.stop(source);
    }
    this.notify("mutedByTeacher");
  }

  /** A program took over what we sent of a source. */
  replaced(source: Source): void {
    if (!this.state.sending.has(source)) return;
    void this.stop(source);
    this.notify("replaced");
  }

  close(): void {
    window.clearTimeout(this.sizesTimer);
    window.clearTimeout(this.pathTimer);
    window.clearInterval(this.meterTimer);
    document.removeEventListener("visibilitychange", this.tellSizes);
    this.subscriber.close();
    this.publisher.close();
    this.state.sending.forEach((track) => {
      track.stop();
    });
    this.set(noMedia());
  }
}
