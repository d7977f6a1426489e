/** How much of a person's data a class may take: what may be sent to them, and a meter of what was. */

export type DataPlan = "best" | "less" | "least" | "sound";

/** Bits per second a class may send; null is what the link carries. */
export const LIMITS: Record<DataPlan, number | null> = {
  best: null,
  less: 400_000,
  least: 160_000,
  sound: null,
};
/** Megabytes after which only sound is sent; 0 is no cap. */
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

/** Adds up what went over connections that come and go, from their own counters. */
export class Meter {
  private readonly began = performance.now();
  private readonly counted = new Map<string, number>();

  /** Note the counters of a connection; `name` tells one from the one that takes its place. */
  note(name: string, report: RTCStatsReport | null): void {
    let bytes = 0;
    report?.forEach((one: { type: string; bytesReceived?: number; bytesSent?: number }) => {
      // Firefox counts by stream only, and not what it takes to carry it.
      if (one.type === "inbound-rtp") bytes += one.bytesReceived ?? 0;
      if (one.type === "outbound-rtp") bytes += one.bytesSent ?? 0;
    });
    this.counted.set(name, Math.max(bytes, this.counted.get(name) ?? 0));
  }

  get bytes(): number {
    return [...this.counted.values()].reduce((sum, one) => sum + one, 0);
  }

  /** Bytes an hour at this rate, from the mean so far; null in the first seconds. */
  get hourly(): number | null {
    const seconds = (performance.now() - this.began) / 1000;
    return seconds < 10 ? null : (this.bytes / seconds) * 3600;
  }
}
