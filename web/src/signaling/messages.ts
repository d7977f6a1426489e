/** What goes over the classroom's socket. The server's words are PROTOCOL.md; these are their types. */

export type Source = "camera" | "microphone" | "screen";

export interface Attendee {
  userId: string;
  name: string;
  role: "staff" | "student";
  away: boolean;
  /** When the hand was raised, Unix milliseconds; 0 when it is down. */
  hand: number;
  floor: Source[];
}

export interface ChatMessage {
  id: string;
  userId: string;
  name: string;
  text: string;
  at: string;
}

/** A place of the stage: the section `mid` of the connection we watch on. */
export interface Slot {
  mid: string;
  source: Source;
  kind: "audio" | "video";
  stage: "instructor" | "student";
  participant: string | null;
  paused: boolean;
}

/** What we are sent of a picture: the index of its quality among `of`, or why nothing. */
export interface Quality {
  quality: number | null;
  of: number;
  paused: "bandwidth" | "codec" | "limit" | null;
}

export interface Welcome {
  you: { userId: string; name: string; role: "staff" | "student"; slot: number | null };
  session: { id: string; title: string; endsAt: string; maxStudents: number };
  attendees: Attendee[];
  chat: ChatMessage[];
  slots: Slot[];
  /** Connections of this page that the server still has. */
  media: { publish: number | null; subscribe: number | null };
}

export interface Refused {
  code: string;
  [fact: string]: unknown;
}

export type Reply = { ok: Record<string, unknown> } | { error: Refused };

/** A refusal of the server over the socket. */
export class SocketRefusal extends Error {
  constructor(readonly refused: Refused) {
    super(refused.code);
  }
}
