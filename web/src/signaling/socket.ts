import { io, type Socket } from "socket.io-client";
import { SocketRefusal, type Refused, type Reply } from "./messages";

const ANSWER_MS = 8_000;

/** What takes the classroom's events and answers them. */
export interface Asking {
  ask<T>(event: string, payload?: object): Promise<T>;
}

/** One socket of the classroom, opened by a ticket. It never reconnects by itself: a new one needs a new ticket. */
export class ClassroomSocket implements Asking {
  private readonly socket: Socket;

  private constructor(socket: Socket) {
    this.socket = socket;
  }

  /** Connect, or throw a SocketRefusal that says why not. `listen` is called before anything arrives. */
  static open(
    ticket: string,
    device: string,
    listen: (socket: ClassroomSocket) => void,
  ): Promise<ClassroomSocket> {
    const socket = io("/classroom", {
      transports: ["websocket"],
      reconnection: false,
      forceNew: true,
      timeout: 8_000,
      auth: { ticket, device },
    });
    const opened = new ClassroomSocket(socket);
    listen(opened);
    return new Promise((resolve, reject) => {
      socket.once("connect", () => {
        resolve(opened);
      });
      socket.once("connect_error", (error: Error & { data?: Refused }) => {
        socket.close();
        reject(new SocketRefusal(error.data ?? { code: "offline" }));
      });
    });
  }

  on<T>(event: string, listener: (said: T) => void): void {
    this.socket.on(event, listener);
  }

  /** Ask for something; throws a SocketRefusal when the server will not or does not answer. */
  async ask<T>(event: string, payload: object = {}): Promise<T> {
    let reply: Reply;
    try {
      reply = (await this.socket.timeout(ANSWER_MS).emitWithAck(event, payload)) as Reply;
    } catch {
      throw new SocketRefusal({ code: "offline" });
    }
    if ("error" in reply) throw new SocketRefusal(reply.error);
    return reply.ok as T;
  }

  get connected(): boolean {
    return this.socket.connected;
  }

  close(): void {
    this.socket.removeAllListeners();
    this.socket.close();
  }
}
