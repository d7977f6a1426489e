/**
 * Keeps a picture smooth over a link that loses packets. What is lost is sent again and comes a round trip later;
 * a browser shows a picture before that, and freezes. So it is told to wait that long, once it froze and as long
 * as packets are asked for again.
 *
 * Sound and picture are told the same, and the picture is later still: a browser reckons from when a picture is
 * whole, not from its first packet. So the sound is told to wait for as much more as the picture was seen to be late.
 */

const EVERY_MS = 1_000;
const CALM_MS = 30_000; // without packets asked for again, before nothing is waited for any more
const MORE = 1.4; // times what was waited for in vain
const MOST_MS = 600;
const MOST_BEHIND_MS = 60; // of more, a browser makes the picture wait for the sound in turn
const PART = 0.4; // of what the picture is late, made good at once: what is said of a second is told a second late
const NOTABLE_MS = 8; // less would be told the browser for nothing

/** One stream that the browser plays in step with another. */
interface Stream {
  kind: string;
  played: number; // frames or samples
  at: number; // what moment of the class is seen or heard now, in milliseconds
}

interface Figures {
  asked: number; // packets asked for again
  troubled: number; // frames that came too late to be shown, and seconds frozen
  streams: Map<string, Stream>;
}

export class Smoothing {
  private waits: number | null = null; // milliseconds
  private waitsSince = 0;
  private behind = 0; // milliseconds that the sound waits longer than the picture
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
    const figures: Figures = { asked: 0, troubled: 0, streams: new Map() };
    let roundTrip = 0;
    report.forEach((one: Partial<RTCInboundRtpStreamStats & RTCIceCandidatePairStats>) => {
      if (one.type === "inbound-rtp" && one.kind === "video") {
        figures.asked += one.nackCount ?? 0;
        figures.troubled += (one.framesDropped ?? 0) + (one.totalFreezesDuration ?? 0);
      }
      if (one.type === "inbound-rtp" && one.id && one.kind && one.estimatedPlayoutTimestamp)
        figures.streams.set(one.id, {
          kind: one.kind,
          played: one.jitterBufferEmittedCount ?? 0,
          at: one.estimatedPlayoutTimestamp,
        });
      if (one.type === "candidate-pair" && one.nominated) roundTrip = one.currentRoundTripTime ?? 0;
    });
    const { before } = this;
    this.before = figures;
    if (!before) return;
    if (figures.asked > before.asked) this.askedAt = now;
    if (figures.asked > before.asked && figures.troubled > before.troubled)
      this.troubled(now, roundTrip * 1000);
    else if (this.waits !== null && now - this.askedAt > CALM_MS) this.wait(null, now);
    else this.keepStep(shown("video", before, figures), shown("audio", before, figures));
  }

  /** Let the sound wait for the picture: they show these moments of the class; null: nothing is played. */
  private keepStep(picture: number | null, sound: number | null): void {
    if (this.waits === null || picture === null || sound === null) return;
    const behind = Math.min(Math.max(0, this.behind + PART * (sound - picture)), MOST_BEHIND_MS);
    if (Math.abs(behind - this.behind) < NOTABLE_MS) return;
    this.behind = behind;
    this.tell();
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
    if (milliseconds === null) this.behind = 0;
    this.tell();
  }

  private tell(): void {
    for (const receiver of this.pc.getReceivers()) {
      const behind = receiver.track.kind === "audio" ? this.behind : 0;
      // A browser that does not know it has buffers of its own mind.
      if ("jitterBufferTarget" in receiver)
        receiver.jitterBufferTarget = this.waits === null ? null : this.waits + behind;
    }
  }
}

/** What moment of the class the streams of a kind show that were played since; null when none was. */
function shown(kind: string, before: Figures, now: Figures): number | null {
  const playing = [...now.streams].filter(([id, stream]) => {
    const was = before.streams.get(id);
    return stream.kind === kind && was !== undefined && stream.played > was.played;
  });
  if (!playing.length) return null;
  return playing.reduce((sum, [, { at }]) => sum + at, 0) / playing.length;
}
