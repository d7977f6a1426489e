import createClient, { type Middleware } from "openapi-fetch";
import { i18n } from "../i18n";
import type { components, paths } from "./schema";

export type User = components["schemas"]["UserOut"];
export type Course = components["schemas"]["CourseOut"];
export type LiveSession = components["schemas"]["LiveSessionOut"];
export type Problem = components["schemas"]["Problem"] & Record<string, unknown>;
export type Playback = components["schemas"]["PlaybackOut"];
export type Attendance = components["schemas"]["AttendanceOut"];
export type MediaKey = components["schemas"]["MediaKeyOut"];

/** A refusal of the server, as a person can read it: `code` is stable, `detail` is in their language. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    readonly problem?: Problem,
  ) {
    super(detail);
  }
}

let accessToken: string | null = null;
let refreshing: Promise<User | null> | null = null;
const signedOutListeners = new Set<() => void>();

export function setAccessToken(token: string | null): void {
  accessToken = token;
}

export function onSignedOut(listener: () => void): () => void {
  signedOutListeners.add(listener);
  return () => signedOutListeners.delete(listener);
}

const asPage: Record<string, string> = {
  "X-Requested-With": "liveserver",
  "Content-Type": "application/json",
};

/** Trade the sign-in cookie for a fresh access token; null when nobody is signed in. */
export function refresh(): Promise<User | null> {
  // Requests that fail together refresh once.
  refreshing ??= (async () => {
    try {
      const answer = await fetch("/api/auth/refresh", { method: "POST", headers: asPage });
      if (answer.status === 401 || answer.status === 403) {
        accessToken = null;
        return null;
      }
      if (!answer.ok) throw await errorOf(answer);
      const tokens = (await answer.json()) as components["schemas"]["TokensOut"];
      accessToken = tokens.accessToken;
      return tokens.user;
    } finally {
      refreshing = null;
    }
  })();
  return refreshing;
}

/** Return an access token that is good now, for a socket. */
export async function freshAccessToken(): Promise<string | null> {
  await refresh();
  return accessToken;
}

/** One of the classroom's media events, in a room of one's own to try the network in. */
export async function askNetworkTest<T>(event: string, payload: object = {}): Promise<T> {
  await (accessToken === null ? refresh() : undefined);
  const send = () =>
    fetch(`/network-test/${event}`, {
      method: "POST",
      headers: { ...asPage, Authorization: `Bearer ${accessToken ?? ""}` },
      body: JSON.stringify(payload),
    });
  let answer = await send();
  if (answer.status === 401 && (await refresh())) answer = await send();
  if (!answer.ok) throw await errorOf(answer);
  return (await answer.json()) as T;
}

export async function endNetworkTest(): Promise<void> {
  await fetch("/network-test", {
    method: "DELETE",
    headers: { ...asPage, Authorization: `Bearer ${accessToken ?? ""}` },
    keepalive: true,
  }).catch(() => undefined);
}

async function errorOf(answer: Response): Promise<ApiError> {
  try {
    const problem = (await answer.json()) as Problem;
    return new ApiError(answer.status, problem.code, problem.title, problem.detail, problem);
  } catch {
    return new ApiError(answer.status, "offline", "", i18n.t("common.offline"));
  }
}

const retried = new WeakSet<Request>();
const copies = new WeakMap<Request, Request>();

const authorise: Middleware = {
  onRequest({ request }) {
    if (accessToken) request.headers.set("Authorization", `Bearer ${accessToken}`);
    request.headers.set("Accept-Language", i18n.language);
    copies.set(request, request.clone());
    return request;
  },
  async onResponse({ request, response }) {
    if (response.status !== 401 || !accessToken || retried.has(request)) return undefined;
    const user = await refresh();
    if (!user) {
      signedOutListeners.forEach((listener) => {
        listener();
      });
      return undefined;
    }
    const again = copies.get(request);
    if (!again) return undefined;
    again.headers.set("Authorization", `Bearer ${accessToken}`);
    retried.add(again);
    return fetch(again);
  },
};

const client = createClient<paths>({ baseUrl: "" });
client.use(authorise);

interface Result<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Unwrap an answer: the data, or an ApiError. */
export async function ask<T>(call: Promise<Result<T>>): Promise<T> {
  let result: Result<T>;
  try {
    result = await call;
  } catch {
    throw new ApiError(0, "offline", "", i18n.t("common.offline"));
  }
  if (result.error !== undefined) {
    const problem = result.error as Problem;
    throw new ApiError(
      result.response.status,
      typeof problem.code === "string" ? problem.code : "offline",
      typeof problem.title === "string" ? problem.title : "",
      typeof problem.detail === "string" ? problem.detail : i18n.t("common.offline"),
      problem,
    );
  }
  return result.data as T;
}

async function enter(path: string, body: unknown): Promise<User> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { ...asPage, "Accept-Language": i18n.language },
      body: JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, "offline", "", i18n.t("common.offline"));
  }
  if (!answer.ok) throw await errorOf(answer);
  const tokens = (await answer.json()) as components["schemas"]["TokensOut"];
  accessToken = tokens.accessToken;
  return tokens.user;
}

export const api = {
  signIn: (email: string, password: string) => enter("/api/auth/login", { email, password }),
  signUp: (body: components["schemas"]["RegisterIn"]) => enter("/api/auth/register", body),
  async signOut() {
    await fetch("/api/auth/logout", { method: "POST", headers: asPage }).catch(() => undefined);
    accessToken = null;
  },
  courses: (cursor?: string) =>
    ask(client.GET("/api/courses", { params: { query: cursor ? { cursor } : {} } })),
  course: (course: string) =>
    ask(client.GET("/api/courses/{course}", { params: { path: { course } } })),
  sections: (course: string) =>
    ask(client.GET("/api/courses/{course}/sections", { params: { path: { course } } })),
  lesson: (lesson: string) =>
    ask(client.GET("/api/lessons/{lesson}", { params: { path: { lesson } } })),
  stream: (lesson: string) =>
    ask(client.GET("/api/videos/{lesson}/stream", { params: { path: { lesson } } })),
  track: (lesson: string, body: components["schemas"]["BeatIn"]) =>
    // The last beat is told while the page goes.
    ask(
      client.POST("/api/videos/{lesson}/track", {
        params: { path: { lesson } },
        body,
        keepalive: true,
      }),
    ),
  endPlayback: (playback: string) =>
    ask(
      client.DELETE("/api/playbacks/{playback}", {
        params: { path: { playback } },
        keepalive: true,
      }),
    ),
  file: (lesson: string) =>
    ask(client.GET("/api/lessons/{lesson}/file", { params: { path: { lesson } } })),
  checkOut: (courseId: string) =>
    ask(client.POST("/api/payments/checkout", { body: { courseId, coupon: null } })),
  enroll: (course: string) =>
    ask(client.POST("/api/courses/{course}/enroll", { params: { path: { course } } })),
  sessions: (query: { courseId?: string; cursor?: string } = {}) =>
    ask(client.GET("/api/live-sessions", { params: { query } })),
  session: (session: string) =>
    ask(client.GET("/api/live-sessions/{session}", { params: { path: { session } } })),
  status: (session: string) =>
    ask(client.GET("/api/live-sessions/{session}/status", { params: { path: { session } } })),
  start: (session: string) =>
    ask(client.POST("/api/live-sessions/{session}/start", { params: { path: { session } } })),
  end: (session: string) =>
    ask(client.POST("/api/live-sessions/{session}/end", { params: { path: { session } } })),
  join: (session: string) =>
    ask(client.POST("/api/live-sessions/{session}/join", { params: { path: { session } } })),
  mediaKey: (session: string) =>
    ask(client.POST("/api/live-sessions/{session}/media-key", { params: { path: { session } } })),
  leave: (session: string) =>
    ask(client.POST("/api/live-sessions/{session}/leave", { params: { path: { session } } })),
  attendance: (session: string) =>
    ask(
      client.GET("/api/live-sessions/{session}/attendance", { params: { path: { session } } }),
    ) as Promise<Attendance>,
  async attendanceCsv(session: string): Promise<Blob> {
    const result = await client.GET("/api/live-sessions/{session}/attendance", {
      params: { path: { session }, query: { format: "csv" } },
      parseAs: "blob",
    });
    if (!result.data) throw new ApiError(result.response.status, "offline", "", "");
    return result.data;
  },
};
