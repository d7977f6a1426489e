/**
 * Connections that go by whatever network the machine uses.
 *
 * A page that may use a camera is told the addresses of all networks, and its connections take those: when the
 * machine moves to another, Chromium on Linux learns of it up to three seconds late. A page that may not takes
 * no address in particular, and goes on at once. So they are made in a frame that may use neither camera nor
 * microphone; the tracks that are sent over them come from outside it (decision 0023).
 */
let frame: HTMLIFrameElement | null = null;

/** Return a new connection. The frame stays, for its connections end with it. */
export function connect(iceServers: RTCIceServer[] = []): RTCPeerConnection {
  if (!frame?.isConnected) {
    frame = document.createElement("iframe");
    frame.allow = "camera 'none'; microphone 'none'";
    frame.hidden = true;
    document.body.append(frame);
  }
  const inside = frame.contentWindow as (Window & typeof globalThis) | null;
  return new (inside ?? window).RTCPeerConnection({ iceServers, bundlePolicy: "max-bundle" });
}
