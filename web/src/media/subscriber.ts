import type { Asking } from "../signaling/socket";
import { ConnectionClosed } from "./publisher";
import { connect } from "./connect";
import { Smoothing } from "./smoothing";

interface Offered {
  id: number;
  sdp: string;
  iceServers: RTCIceServer[];
}

export type LinkState = "connecting" | "connected" | "disconnected" | "failed";

/**
 * Have the browser load what connections need, by an offer and an answer that go nowhere: it takes a tenth of a
 * second and more, which is better spent before somebody joins.
 */
export async function warmUp(): Promise<void> {
  const [one, other] = [connect(), connect()];
  try {
    for (const kind of ["audio", "video"]) one.addTransceiver(kind, { direction: "sendonly" });
    await other.setRemoteDescription(await one.createOffer());
    await other.createAnswer();
  } catch {
    // What does not work says so when it is needed.
  } finally {
    one.close();
    other.close();
  }
}

/** The connection we watch on: the server offers every place of the stage once, and fills them. */
export class Subscriber {
  id: number | null = null;
  /** Tracks by section; a place keeps its track whoever stands there. */
  readonly tracks = new Map<string, MediaStreamTrack>();
  private pc: RTCPeerConnection | null = null;
  private smoothing: Smoothing | null = null;
  private abandon: () => void = () => undefined;
  private abandoned: Promise<never> = new Promise(() => undefined);

  constructor(
    private readonly onTracks: () => void,
    private readonly onState: (state: LinkState) => void,
  ) {}

  /** Watch over a new connection. */
  async open(socket: Asking): Promise<void> {
    this.close();
    const pc = connect();
    this.pc = pc;
    this.smoothing = new Smoothing(pc);
    this.abandoned = new Promise((_, reject) => {
      this.abandon = () => {
        reject(new ConnectionClosed());
      };
    });
    this.abandoned.catch(() => undefined);
    pc.addEventListener("track", ({ track, transceiver }) => {
      if (transceiver.mid !== null) this.tracks.set(transceiver.mid, track);
    });
    pc.addEventListener("connectionstatechange", () => {
      if (this.pc === pc) this.onState(stateOf(pc.connectionState));
    });
    this.onState("connecting");
    await this.negotiate(socket, pc, false);
  }

  /** Find a new network path on the same keys; the picture goes on where it was. */
  async restart(socket: Asking): Promise<void> {
    if (this.pc) await this.negotiate(socket, this.pc, true);
  }

  private async negotiate(socket: Asking, pc: RTCPeerConnection, restart: boolean): Promise<void> {
    const offer = await socket.ask<Offered>("media.subscribe", { restart });
    if (this.pc !== pc) throw new ConnectionClosed();
    pc.setConfiguration({ ...pc.getConfiguration(), iceServers: offer.iceServers });
    this.id = offer.id;
    const answered = pc.setRemoteDescription({ type: "offer", sdp: offer.sdp }).then(() => {
      const described = pc.setLocalDescription();
      // Once for all places, and while the browser works: to draw the page twelve times takes as long as that.
      if (this.pc === pc) this.onTracks();
      return described;
    });
    // What a closed connection promised never comes.
    await Promise.race([answered, this.abandoned]);
    await socket.ask("media.answer", { sdp: pc.localDescription?.sdp ?? "" });
  }

  /** How many packets have come, of media and of anything else; null without a connection. */
  async arrived(): Promise<number | null> {
    let packets: number | null = null;
    (await this.stats())?.forEach((one: { type: string; [name: string]: unknown }) => {
      const counted = one["packetsReceived"] ?? one["responsesReceived"];
      if (["transport", "inbound-rtp", "candidate-pair"].includes(one.type))
        packets = (packets ?? 0) + (typeof counted === "number" ? counted : 0);
    });
    return packets;
  }

  /** Figures of the running connection, for tests and for a person who asks. */
  async stats(): Promise<RTCStatsReport | null> {
    return this.pc ? this.pc.getStats() : null;
  }

  close(): void {
    this.smoothing?.close();
    this.pc?.close();
    this.pc = null;
    this.id = null;
    this.tracks.clear();
    this.abandon();
  }
}

function stateOf(state: RTCPeerConnectionState): LinkState {
  if (state === "connected") return "connected";
  if (state === "failed" || state === "closed") return "failed";
  return state === "disconnected" ? "disconnected" : "connecting";
}
