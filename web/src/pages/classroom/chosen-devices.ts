/** Which camera and microphone the person chose before class; used when they are turned on in it. */
export interface Devices {
  camera?: string;
  microphone?: string;
}

let chosen: Devices = {};

export function remember(devices: Devices): void {
  chosen = devices;
}

export function chosenDevices(): Devices {
  return chosen;
}
