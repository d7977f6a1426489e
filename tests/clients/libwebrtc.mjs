// Sends to a class (whip) or plays one (whep) with libwebrtc outside a browser; tells figures as lines of JSON.
//
//     node libwebrtc.mjs whip|whep <address> <key>
import wrtc from "@roamhq/wrtc";

const { RTCPeerConnection, nonstandard } = wrtc;
const [way, address, key] = process.argv.slice(2);
const [WIDTH, HEIGHT] = [320, 180];
const figures = { frames: 0, width: 0, samples: 0, state: "new" };

const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
peer.onconnectionstatechange = () => {
  figures.state = peer.connectionState;
};

if (way === "whip") {
  const picture = new nonstandard.RTCVideoSource();
  const sound = new nonstandard.RTCAudioSource();
  for (const track of [sound.createTrack(), picture.createTrack()])
    peer.addTransceiver(track, { direction: "sendonly" });
  let count = 0;
  setInterval(() => {
    count += 1;
    const data = new Uint8ClampedArray(WIDTH * HEIGHT * 1.5).fill(count % 256);
    picture.onFrame({ width: WIDTH, height: HEIGHT, data });
    figures.frames = count;
  }, 50);
  setInterval(() => {
    const samples = Int16Array.from({ length: 480 }, (_, n) => 8000 * Math.sin(n / 8));
    sound.onData({ samples, sampleRate: 48_000, bitsPerSample: 16, channelCount: 1, numberOfFrames: 480 });
  }, 10);
} else {
  for (const kind of ["audio", "video"]) peer.addTransceiver(kind, { direction: "recvonly" });
  peer.ontrack = ({ track }) => {
    if (track.kind === "video") {
      new nonstandard.RTCVideoSink(track).onframe = ({ frame }) => {
        figures.frames += 1;
        figures.width = frame.width;
      };
    } else {
      new nonstandard.RTCAudioSink(track).ondata = ({ samples }) => {
        figures.samples += samples.length;
      };
    }
  };
}

await peer.setLocalDescription(await peer.createOffer());
const answer = await fetch(address, {
  method: "POST",
  headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/sdp" },
  body: peer.localDescription.sdp,
});
if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
setInterval(() => console.log(JSON.stringify(figures)), 250);
