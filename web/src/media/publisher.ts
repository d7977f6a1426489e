import type { Source } from "../signaling/messages";
import type { Asking } from "../signaling/socket";
import { connect } from "./connect";
import { ThinScreen } from "./thin-screen";

/** What each source is sent in, the poorest first: the server gives each viewer what their link carries. */
const ENCODINGS: Record<Source, RTCRtpEncodingParameters[]> = {
  camera: [
    { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
    { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 450_000 },
    { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_300_000 },
  ],
  screen: [
    { rid: "q", scaleResolutionDownBy: 2, maxBitrate: 100_000, maxFramerate: 5 },
    { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 2_200_000 },
  ],
  microphone: [{ maxBitrate: 40_000 }],
};

interface Published {
  id: number;
  sdp: string;
  refused: Record<string, string>;
}

/** The operator's TURN server, with credentials that are good for a while. */
async function relays(socket: Asking): Promise<RTCIceServer[]> {
  return (await socket.ask<{ iceServers: RTCIceServer[] }>("media.relays")).iceServers;
}

/**
 * The connection we send on: we offer, the server answers what it takes. One deed at a time; its owner sees to
 * that. Closing it ends a deed that is under way with a ConnectionClosed.
 */
export class Publisher {
  id: number | null = null;
  private pc: RTCPeerConnection | null = null;
  private life = 0; // of connections, counted
  private abandon: () => void = () => undefined;
  private abandoned: Promise<never> = new Promise(() => undefined);
  private readonly sending = new Map<Source, RTCRtpTransceiver>();
  private screen = new ThinScreen(ENCODINGS.screen);

  constructor(private readonly onLost: () => void) {}

  /** The connection's way to the server is not there any more. */
  get isLost(): boolean {
    const state = this.pc?.connectionState;
    return state === "disconnected" || state === "failed";
  }

  /** Send a track, in place of the source's last one. Throws PublishRefused with the server's code. */
  async send(socket: Asking, source: Source, track: MediaStreamTrack): Promise<void> {
    const known = this.sending.get(source);
    if (known) {
      known.direction = "sendonly";
      await known.sender.replaceTrack(track);
    } else {
      const pc = this.pc ?? (await this.connection(socket));
      const transceiver = pc.addTransceiver(track, {
        direction: "sendonly",
        sendEncodings: ENCODINGS[source].map((one) => ({ ...one })),
      });
      this.sending.set(source, transceiver);
    }
    await this.negotiate(socket);
  }

  /** Send only the qualities that somebody watches. */
  async wake(source: Source, awake: readonly string[]): Promise<void> {
    const sender = this.sending.get(source)?.sender;
    if (!sender) return;
    const parameters = sender.getParameters();
    for (const encoding of parameters.encodings)
      encoding.active = encoding.rid === undefined || awake.includes(encoding.rid);
    await sender.setParameters(parameters).catch(() => undefined); // renegotiated meanwhile: told again
  }

  /** Fit what is sent to the link, as far as the browser does not: every other second, with our figures. */
  async fit(report: RTCStatsReport | null): Promise<void> {
    const screen = this.sending.get("screen");
    if (screen && report) await this.screen.look(screen, report);
  }

  /** Stop sending a source; its place is free for others. */
  async stop(socket: Asking, source: Source): Promise<void> {
    const transceiver = this.sending.get(source);
    if (!transceiver) return;
    await transceiver.sender.replaceTrack(null);
    transceiver.direction = "inactive";
    await this.negotiate(socket);
  }

  /** Offer again: after a change, or with `restart` over a new network path. */
  async negotiate(socket: Asking, restart = false): Promise<void> {
    const pc = this.pc;
    if (!pc) return;
    if (restart) {
      const iceServers = await this.step(relays(socket));
      pc.setConfiguration({ ...pc.getConfiguration(), iceServers });
    }
    await this.step(pc.createOffer({ iceRestart: restart }).then((o) => pc.setLocalDescription(o)));
    const sources: Record<string, Source> = {};
    for (const [source, transceiver] of this.sending)
      if (transceiver.mid !== null && transceiver.direction === "sendonly")
        sources[transceiver.mid] = source;
    const answer = await this.step(
      socket.ask<Published>("media.publish", { sdp: pc.localDescription?.sdp ?? "", sources }),
    );
    this.id = answer.id;
    await this.step(pc.setRemoteDescription({ type: "answer", sdp: answer.sdp }));
    const refused = Object.values(answer.refused)[0];
    if (refused) throw new PublishRefused(refused);
  }

  /** The server lost our connection: these tracks go over a new one. */
  async again(socket: Asking, tracks: ReadonlyMap<Source, MediaStreamTrack>): Promise<void> {
    this.close();
    for (const [source, track] of tracks) await this.send(socket, source, track);
  }

  /** Figures of the running connection. */
  async stats(): Promise<RTCStatsReport | null> {
    return this.pc ? this.pc.getStats() : null;
  }

  close(): void {
    this.pc?.close();
    this.pc = null;
    this.id = null;
    this.life += 1;
    this.sending.clear();
    this.screen = new ThinScreen(ENCODINGS.screen);
    this.abandon();
  }

  /** Await a step of a negotiation; what a closed connection promised never comes. */
  private step<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.abandoned]);
  }

  private async connection(socket: Asking): Promise<RTCPeerConnection> {
    const life = this.life;
    const iceServers = await relays(socket);
    if (life !== this.life) throw new ConnectionClosed();
    const pc = connect(iceServers);
    pc.addEventListener("connectionstatechange", () => {
      if (this.pc === pc && this.isLost) this.onLost();
    });
    this.pc = pc;
    this.abandoned = new Promise((_, reject) => {
      this.abandon = () => {
        reject(new ConnectionClosed());
      };
    });
    this.abandoned.catch(() => undefined);
    return pc;
  }
}

export class PublishRefused extends Error {
  constructor(readonly code: string) {
    super(code);
  }
}

/** The connection was closed under a negotiation. */
export class ConnectionClosed extends Error {}
