/** Cameras, microphones and the screen of this device. */

export type DeviceProblem = "denied" | "noDevice" | "insecure";

export class DeviceError extends Error {
  constructor(readonly problem: DeviceProblem) {
    super(problem);
  }
}

const VIDEO: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 24, max: 30 },
};
const AUDIO: MediaTrackConstraints = {
  echoCancellation: true,
  noiseSuppression: true,
  autoGainControl: true,
};

export async function openDevice(
  kind: "camera" | "microphone",
  deviceId?: string,
): Promise<MediaStreamTrack> {
  // The types promise mediaDevices; a page without https has none.
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (!devices) throw new DeviceError("insecure");
  const chosen = deviceId ? { deviceId: { exact: deviceId } } : {};
  try {
    const stream = await devices.getUserMedia(
      kind === "camera" ? { video: { ...VIDEO, ...chosen } } : { audio: { ...AUDIO, ...chosen } },
    );
    const track = stream.getTracks()[0];
    if (!track) throw new DeviceError("noDevice");
    return track;
  } catch (error) {
    if (error instanceof DeviceError) throw error;
    const name = error instanceof DOMException ? error.name : "";
    throw new DeviceError(name === "NotAllowedError" ? "denied" : "noDevice");
  }
}

/** Ask which screen to share; null when the person changed their mind. */
export async function openScreen(): Promise<MediaStreamTrack | null> {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({
      video: { frameRate: { ideal: 10, max: 15 } },
      audio: false,
    });
    const track = stream.getVideoTracks()[0] ?? null;
    if (track) track.contentHint = "detail";
    return track;
  } catch {
    return null;
  }
}

export async function listDevices(kind: MediaDeviceKind): Promise<MediaDeviceInfo[]> {
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (!devices) return [];
  return (await devices.enumerateDevices()).filter((one) => one.kind === kind && one.deviceId);
}

export function canShareScreen(): boolean {
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  return Boolean(devices && "getDisplayMedia" in devices);
}
