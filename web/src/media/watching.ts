import Hls from "hls.js";
import { api, type Playback } from "../api/client";

const BEAT_MS = 5_000;
const NEAR = 1.5; // seconds between two time updates of one unbroken stretch

/**
 * One video being watched: HLS where the browser has none of its own, what was seen told every five seconds,
 * the place among videos at once given back at the end.
 */
export class Watching {
  private hls: Hls | null = null;
  private ranges: [number, number][] = [];
  private from: number | null = null;
  private at = 0;
  private seq = 0;
  private timer = 0;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly lesson: string,
    private readonly playback: Playback,
    private readonly tracks: boolean,
    private readonly onEnded: (reason: "playback_ended" | "failed") => void,
  ) {
    video.addEventListener("timeupdate", this.note);
    video.addEventListener("seeking", this.cut);
    video.addEventListener("pause", this.stop);
    this.load();
    if (tracks) this.timer = window.setInterval(() => void this.beat(), BEAT_MS);
  }

  private load(): void {
    const { manifestUrl, resumeAt } = this.playback;
    if (!Hls.isSupported()) {
      this.video.src = manifestUrl; // Safari plays HLS by itself
      this.video.currentTime = resumeAt;
      return;
    }
    const hls = new Hls({ startPosition: resumeAt, maxBufferLength: 20 });
    this.hls = hls;
    hls.on(Hls.Events.ERROR, (_event, error) => {
      if (!error.fatal) return;
      const refused = error.response?.code === 403 || error.response?.code === 401;
      this.onEnded(refused ? "playback_ended" : "failed");
    });
    hls.loadSource(manifestUrl);
    hls.attachMedia(this.video);
  }

  private readonly note = (): void => {
    const now = this.video.currentTime;
    if (this.from === null || Math.abs(now - this.at) > NEAR) {
      this.cut();
      this.from = now;
    }
    this.at = now;
  };

  private readonly cut = (): void => {
    if (this.from !== null && this.at > this.from) this.ranges.push([this.from, this.at]);
    this.from = null;
  };

  private readonly stop = (): void => {
    if (this.tracks) void this.beat();
  };

  private async beat(): Promise<void> {
    const on = !this.video.paused;
    this.cut();
    if (on) this.from = this.at;
    if (!this.ranges.length) return;
    const ranges = this.ranges;
    this.ranges = [];
    this.seq += 1;
    try {
      await api.track(this.lesson, {
        playbackId: this.playback.playbackId,
        seq: this.seq,
        ranges,
        position: this.video.currentTime,
        rate: this.video.playbackRate,
      });
    } catch {
      this.ranges = [...ranges, ...this.ranges]; // told with the next beat
    }
  }

  async close(): Promise<void> {
    window.clearInterval(this.timer);
    this.video.removeEventListener("timeupdate", this.note);
    this.video.removeEventListener("seeking", this.cut);
    this.video.removeEventListener("pause", this.stop);
    this.hls?.destroy();
    if (this.tracks) await this.beat();
    await api.endPlayback(this.playback.playbackId).catch(() => undefined);
  }
}
