/**
 * A screen over a link that has no room for its best quality, which Chromium then leaves out: it wants 0.8 Mb/s
 * for that, whatever is shown. The poorest is always sent, so that is made as sharp: letters come later, and can
 * be read.
 */

const SHARP = { scaleResolutionDownBy: 1, maxBitrate: 600_000 };
const LEFT_OUT = 6; // looks, in which the poorest came and the best did not: longer than a browser takes to begin
const CAME_BACK = 3; // in which it did
const ROOM = 1_800_000; // bits per second, for the best beside all else;
const ROOM_AT_REST = 1_300_000; // while nobody watches the best the browser does not look for more

interface Stat {
  type: string;
  mid?: string;
  rid?: string;
  framesSent?: number;
  nominated?: boolean;
  availableOutgoingBitrate?: number;
}

/** Of one connection; its owner looks every other second. */
export class ThinScreen {
  private readonly usual = new Map<string, RTCRtpEncodingParameters>();
  private sent = { q: 0, f: 0 };
  private missed = 0; // looks in a row
  private came = 0;
  private sharp = false;

  constructor(usual: readonly RTCRtpEncodingParameters[]) {
    for (const one of usual) if (one.rid) this.usual.set(one.rid, one);
  }

  async look(transceiver: RTCRtpTransceiver, report: RTCStatsReport): Promise<void> {
    const now = { q: 0, f: 0 };
    let room = 0;
    report.forEach((one: Stat) => {
      if (one.type === "outbound-rtp" && one.mid === transceiver.mid)
        if (one.rid === "q" || one.rid === "f") now[one.rid] = one.framesSent ?? 0;
      if (one.type === "candidate-pair" && one.nominated)
        room = Math.max(room, one.availableOutgoingBitrate ?? 0);
    });
    const was = this.sent;
    this.sent = now;
    const parameters = transceiver.sender.getParameters();
    const wanted = parameters.encodings.some((one) => one.rid === "f" && one.active);
    this.missed = wanted && now.q > was.q && now.f === was.f ? this.missed + 1 : 0;
    this.came = now.f > was.f ? this.came + 1 : 0;
    const thin = room < (wanted ? ROOM : ROOM_AT_REST);
    const sharp = thin && (this.sharp ? this.came < CAME_BACK : this.missed >= LEFT_OUT);
    if (sharp === this.sharp) return;
    const poorest = parameters.encodings.find((one) => one.rid === "q");
    if (!poorest) return;
    Object.assign(poorest, sharp ? SHARP : this.usual.get("q"));
    await transceiver.sender.setParameters(parameters).then(
      () => (this.sharp = sharp),
      () => undefined, // renegotiated meanwhile: at the next look
    );
  }
}
