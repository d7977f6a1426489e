/** How much of a person's data a class may take: what may be sent to them, and a meter of what was. */

export type DataPlan = "best" | "less" | "least" | "sound";

/** Bits per second a class may send; null is what the link carries. */
export const LIMITS: Record<DataPlan, number | null> = {
  best: null,
  less: 400_000,
  least: 160_000,
  sound: null,
};
/** Megabytes after which only sound is sent and received; 0 is no cap. */
export const CAPS = [0, 50, 100, 250] as const;
export type Cap = (typeof CAPS)[number];

export interface DataChoice {
  plan: DataPlan;
  cap: Cap;
}

const KEY = "liveserver.data";
const NOTHING_CHOSEN: DataChoice = { plan: "best", cap: 0 };

/** What the person chose last, on this device: mobile data is a property of the phone. */
export function chosenData(): DataChoice {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<DataChoice>;
    const plan = kept.plan !== undefined && kept.plan in LIMITS ? kept.plan : NOTHING_CHOSEN.plan;
    const cap = CAPS.find((one) => one === kept.cap) ?? NOTHING_CHOSEN.cap;
    return { plan, cap };
  } catch {
    return NOTHING_CHOSEN;
  }
}

export function rememberData(choice: DataChoice): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(choice));
  } catch {
    // A private window keeps nothing: the choice holds for this class.
  }
}

const USED_KEY = "liveserver.data.used";
const CARRIED = 44; // bytes a packet takes besides what is counted: IP, UDP, and the seal of SRTP
const HEADER = 12; // and that of RTP, where it is not counted

interface Stream {
  type: string;
  bytesReceived?: number;
  headerBytesReceived?: number;
  packetsReceived?: number;
  bytesSent?: number;
  headerBytesSent?: number;
  packetsSent?: number;
}

/**
 * Adds up what a class took over connections that come and go, from their own counters, and goes on with that
 * when its page is loaded again.
 */
export class Meter {
  private readonly began = performance.now();
  private readonly before: number;
  private readonly counted = new Map<string, number>();

  constructor(private readonly session: string) {
    this.before = usedBy(session);
  }

  /** Note the counters of a connection; `name` tells one from the one that takes its place. */
  note(name: string, report: RTCStatsReport | null): void {
    let bytes = 0;
    report?.forEach((one: Stream) => {
      // Firefox counts by stream only, and not what it takes to carry it.
      if (one.type === "inbound-rtp")
        bytes += taken(one.bytesReceived, one.headerBytesReceived, one.packetsReceived);
      if (one.type === "outbound-rtp")
        bytes += taken(one.bytesSent, one.headerBytesSent, one.packetsSent);
    });
    this.counted.set(name, Math.max(bytes, this.counted.get(name) ?? 0));
    try {
      localStorage.setItem(USED_KEY, JSON.stringify({ session: this.session, bytes: this.bytes }));
    } catch {
      // A private window keeps nothing.
    }
  }

  get bytes(): number {
    return this.before + this.now;
  }

  private get now(): number {
    return [...this.counted.values()].reduce((sum, one) => sum + one, 0);
  }

  /** Bytes an hour at this rate, from the mean so far; null in the first seconds. */
  get hourly(): number | null {
    const seconds = (performance.now() - this.began) / 1000;
    return seconds < 10 ? null : (this.now / seconds) * 3600;
  }
}

function taken(payload = 0, headers: number | undefined, packets = 0): number {
  return payload + (headers ?? HEADER * packets) + CARRIED * packets;
}

function usedBy(session: string): number {
  try {
    const kept = JSON.parse(localStorage.getItem(USED_KEY) ?? "{}") as Record<string, unknown>;
    return kept["session"] === session && typeof kept["bytes"] === "number" ? kept["bytes"] : 0;
  } catch {
    return 0;
  }
}
