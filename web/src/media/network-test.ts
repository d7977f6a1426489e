import type { Asking } from "../signaling/socket";
import { Publisher } from "./publisher";
import { Subscriber } from "./subscriber";

export const SECONDS = 12;
const WINDOW = 3; // seconds: the best of these is what the way carries, once the encoder is up to it
const SECONDS_TO_CONNECT = 20; // a thin link carries a handshake slowly

export type Way = "udp" | "tcp" | "relay";

/** What the network does to a class's media; rates in kb/s, times in ms, losses in percent. */
export interface Findings {
  way: Way | null;
  roundTrip: number;
  jitter: number;
  up: number;
  down: number;
  lossUp: number;
  lossDown: number;
}

/** The most that a network will do in a class; each includes the ones after it. */
export type Verdict = "teach" | "camera" | "watch" | "sound" | "nothing";

const NOTHING: Findings = {
  way: null,
  roundTrip: 0,
  jitter: 0,
  up: 0,
  down: 0,
  lossUp: 0,
  lossDown: 0,
};

export function verdictOf(found: Findings): Verdict {
  if (found.way === null) return "nothing";
  const bad = found.lossUp > 15 || found.lossDown > 15 || found.roundTrip > 1500;
  if (bad || found.down < 100) return "sound";
  if (found.up < 150) return "watch";
  return found.up >= 900 && found.down >= 800 && found.lossUp <= 5 && found.roundTrip <= 400
    ? "teach"
    : "camera";
}

/** Send a picture and sound to a media worker, watch them come back, and say how that went. */
export class NetworkTest {
  private readonly subscriber = new Subscriber(
    () => undefined,
    () => undefined,
  );
  private readonly publisher = new Publisher(() => undefined);
  private stopped = false;

  constructor(
    private readonly asking: Asking,
    private readonly onProgress: (part: number) => void,
  ) {}

  /** Throws what asking throws. A network that carries nothing is a finding, not an error. */
  async run(): Promise<Findings> {
    const picture = new MovingPicture();
    const sound = new Sound();
    try {
      const tracks = [picture.track, sound.track];
      // Dark and silent until both ways stand: on a thin link a picture would crowd the handshakes out.
      for (const track of tracks) track.enabled = false;
      await this.publisher.send(this.asking, "camera", picture.track);
      await this.publisher.send(this.asking, "microphone", sound.track);
      await this.subscriber.open(this.asking);
      if (!(await this.connected())) return NOTHING;
      for (const track of tracks) track.enabled = true;
      const sent: Counted[] = [];
      const received: Counted[] = [];
      for (let tenth = 0; tenth <= SECONDS * 10 && !this.stopped; tenth++) {
        this.onProgress(tenth / (SECONDS * 10));
        if (tenth % 10 === 0) {
          sent.push(counted(await this.publisher.stats(), "outbound-rtp", "bytesSent"));
          received.push(counted(await this.subscriber.stats(), "inbound-rtp", "bytesReceived"));
        }
        await pause(100);
      }
      return findingsOf(
        await this.publisher.stats(),
        await this.subscriber.stats(),
        bestRate(sent),
        bestRate(received),
      );
    } finally {
      this.close();
      picture.stop();
      sound.stop();
    }
  }

  close(): void {
    this.stopped = true;
    this.publisher.close();
    this.subscriber.close();
  }

  private async connected(): Promise<boolean> {
    for (let tenth = 0; tenth < SECONDS_TO_CONNECT * 10 && !this.stopped; tenth++) {
      const reports = [await this.publisher.stats(), await this.subscriber.stats()];
      if (reports.every((one) => one !== null && pairOf(one) !== undefined)) return true;
      await pause(100);
    }
    return false;
  }
}

const pause = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

interface Stat {
  type: string;
  id: string;
  kind?: string;
  [name: string]: unknown;
}

function all(report: RTCStatsReport, type: string): Stat[] {
  const found: Stat[] = [];
  report.forEach((one: Stat) => {
    if (one.type === type) found.push(one);
  });
  return found;
}

const number = (value: unknown): number => (typeof value === "number" ? value : 0);
const sum = (stats: Stat[], name: string): number =>
  stats.reduce((total, one) => total + number(one[name]), 0);

/** The pair of addresses that media goes over, once it does; a Firefox without transports marks it selected. */
function pairOf(report: RTCStatsReport): Stat | undefined {
  const transport = all(report, "transport")[0];
  if (transport?.["dtlsState"] === "connected")
    return report.get(String(transport["selectedCandidatePairId"])) as Stat | undefined;
  return transport
    ? undefined
    : all(report, "candidate-pair").find((one) => one["selected"] === true);
}

function wayOf(report: RTCStatsReport, pair: Stat): Way {
  const local = report.get(String(pair["localCandidateId"])) as Stat | undefined;
  const remote = report.get(String(pair["remoteCandidateId"])) as Stat | undefined;
  if (local?.["candidateType"] === "relay") return "relay";
  return remote?.["protocol"] === "tcp" ? "tcp" : "udp";
}

interface Counted {
  at: number;
  bytes: number;
}

function counted(report: RTCStatsReport | null, type: string, name: string): Counted {
  return { at: performance.now(), bytes: report ? sum(all(report, type), name) : 0 };
}

/** The most that passed in any few seconds of what was counted each second, in kb/s. */
function bestRate(counts: readonly Counted[]): number {
  const rates = counts.slice(WINDOW).map((later, index) => {
    const earlier = counts[index];
    return earlier ? (8 * (later.bytes - earlier.bytes)) / (later.at - earlier.at) : 0;
  });
  return Math.max(0, ...rates);
}

function findingsOf(
  sent: RTCStatsReport | null,
  received: RTCStatsReport | null,
  spent: number,
  down: number,
): Findings {
  const pair = sent ? pairOf(sent) : undefined;
  if (!sent || !received || !pair) return NOTHING;
  const inbound = all(received, "inbound-rtp");
  const heard = all(sent, "remote-inbound-rtp");
  const lost = sum(inbound, "packetsLost");
  const arrived = sum(inbound, "packetsReceived");
  // Firefox tells no estimate of the way up: what it sends is the least of it.
  const estimate = number(pair["availableOutgoingBitrate"]) / 1000;
  const roundTrip =
    number(pair["currentRoundTripTime"]) ||
    Math.max(0, ...heard.map((one) => number(one["roundTripTime"])));
  const lossUp = Math.max(0, ...heard.map((one) => number(one["fractionLost"])));
  return {
    way: wayOf(sent, pair),
    roundTrip: 1000 * roundTrip,
    jitter: 1000 * Math.max(0, ...inbound.map((one) => number(one["jitter"]))),
    up: Math.max(estimate, spent) * (1 - lossUp),
    down,
    lossUp: 100 * lossUp,
    lossDown: lost + arrived > 0 ? (100 * Math.max(0, lost)) / (lost + arrived) : 0,
  };
}

/** A picture that is as hard to send as a moving teacher, without asking for a camera. */
class MovingPicture {
  readonly track: MediaStreamTrack;
  private readonly timer: number;
  private readonly tile: HTMLCanvasElement;

  constructor() {
    const canvas = document.createElement("canvas");
    canvas.width = 1280;
    canvas.height = 720;
    this.tile = noise(160);
    const pen = canvas.getContext("2d");
    let turn = 0;
    const draw = () => {
      turn += 1;
      if (!pen) return;
      for (let x = 0; x < 1280; x += 160)
        for (let y = 0; y < 720; y += 160)
          pen.drawImage(this.tile, x + ((turn * 3) % 160) - 80, y + ((turn * 2) % 160) - 80);
    };
    draw();
    this.timer = window.setInterval(draw, 50);
    const track = canvas.captureStream(20).getVideoTracks()[0];
    if (!track) throw new Error("the canvas gives no picture");
    this.track = track;
  }

  stop(): void {
    window.clearInterval(this.timer);
    this.track.stop();
  }
}

function noise(side: number): HTMLCanvasElement {
  const tile = document.createElement("canvas");
  tile.width = tile.height = side;
  const pen = tile.getContext("2d");
  for (let x = 0; x < side; x += 8)
    for (let y = 0; y < side; y += 8) {
      if (pen) pen.fillStyle = `hsl(${String(Math.random() * 360)} 40% 50%)`;
      pen?.fillRect(x, y, 8, 8);
    }
  return tile;
}

/** A tone nobody hears: it goes to the server and back, not to the loudspeaker. */
class Sound {
  readonly track: MediaStreamTrack;
  private readonly audio = new AudioContext();

  constructor() {
    const tone = this.audio.createOscillator();
    const out = this.audio.createMediaStreamDestination();
    tone.connect(out);
    tone.start();
    const track = out.stream.getAudioTracks()[0];
    if (!track) throw new Error("the audio context gives no sound");
    this.track = track;
  }

  stop(): void {
    this.track.stop();
    void this.audio.close();
  }
}
