/**
 * Keeps a picture smooth over a link that loses packets. What is lost is sent again and comes a round trip later;
 * a browser shows a picture before that, and freezes. So it is told to wait that long, once it froze and as long
 * as packets are asked for again; voice and picture stay together.
 */

const EVERY_MS = 1_000;
const CALM_MS = 30_000; // without packets asked for again, before nothing is waited for any more
const MORE = 1.4; // times what was waited for in vain
const MOST_MS = 600;

interface Figures {
  asked: number; // packets asked for again
  troubled: number; // frames that came too late to be shown, and seconds frozen
}

export class Smoothing {
  private waits: number | null = null; // milliseconds
  private waitsSince = 0;
  private askedAt = 0;
  private before: Figures | null = null;
  private readonly timer: number;

  constructor(private readonly pc: RTCPeerConnection) {
    this.timer = window.setInterval(() => void this.look(), EVERY_MS);
  }

  close(): void {
    window.clearInterval(this.timer);
  }

  private async look(): Promise<void> {
    const report = await this.pc.getStats();
    const now = performance.now();
    const figures = { asked: 0, troubled: 0 };
    let roundTrip = 0;
    report.forEach((one: Partial<RTCInboundRtpStreamStats & RTCIceCandidatePairStats>) => {
      if (one.type === "inbound-rtp" && one.kind === "video") {
        figures.asked += one.nackCount ?? 0;
        figures.troubled += (one.framesDropped ?? 0) + (one.totalFreezesDuration ?? 0);
      }
      if (one.type === "candidate-pair" && one.nominated) roundTrip = one.currentRoundTripTime ?? 0;
    });
    const { before } = this;
    this.before = figures;
    if (!before) return;
    if (figures.asked > before.asked) this.askedAt = now;
    if (figures.asked > before.asked && figures.troubled > before.troubled)
      this.troubled(now, roundTrip * 1000);
    else if (this.waits !== null && now - this.askedAt > CALM_MS) this.wait(null, now);
  }

  private troubled(now: number, roundTrip: number): void {
    // What was asked for may be lost as well; half a round trip more covers most of that and of what comes out of order.
    const least = 1.5 * roundTrip + 60;
    if (this.waits === null) this.wait(Math.min(least, MOST_MS), now);
    else if (now - this.waitsSince > 3 * EVERY_MS)
      this.wait(Math.min(Math.max(least, this.waits * MORE), MOST_MS), now);
  }

  private wait(milliseconds: number | null, now: number): void {
    this.waits = milliseconds;
    this.waitsSince = now;
    for (const receiver of this.pc.getReceivers()) {
      // A browser that does not know it has buffers of its own mind.
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = milliseconds;
    }
  }
}
