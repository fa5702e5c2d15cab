// An HTTP/2 client that sends exactly the given frames (RFC 9113 section 4), including those that no library would
// send.
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  rst: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const flags = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
const headBytes = 9;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function frame(type: number, flag: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flag;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/**
 * Encodes a field section (RFC 7541) as literals, without indexing and Huffman coding.
 * @param flat name, value, …
 */
export function block(flat: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i < flat.length; i += 2) {
    parts.push(Buffer.from([0]), text(flat[i] as string), text(flat[i + 1] as string));
  }
  return Buffer.concat(parts);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest > 127; rest >>= 7) length.push((rest & 127) | 128);
  length.push(rest);
  return Buffer.concat([Buffer.from(length), bytes]);
}

export function requestHead(path = "/", ...more: string[]): string[] {
  return [":method", "GET", ":scheme", "http", ":path", path, ":authority", "a.test", ...more];
}

export class FrameClient implements AsyncDisposable {
  readonly frames: Frame[] = [];
  closed = false;
  readonly #socket: Socket;
  #held = Buffer.alloc(0);
  #watchers: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
  }

  /** @param settings the client's settings: id, value pairs */
  static async open(port: number, settings: Buffer = Buffer.alloc(0)): Promise<FrameClient> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    const client = new FrameClient(socket);
    client.send(preface, frame(frameTypes.settings, 0, 0, settings));
    return client;
  }

  send(...bytes: readonly Buffer[]): void {
    if (!this.closed) this.#socket.write(Buffer.concat(bytes));
  }

  request(stream: number, head: readonly string[]): void {
    this.send(frame(frameTypes.headers, flags.endStream | flags.endHeaders, stream, block(head)));
  }

  /** Resolves with the first matching frame, received already or later; undefined = the connection ended before. */
  async frame(matches: (frame: Frame) => boolean): Promise<Frame | undefined> {
    for (;;) {
      const found = this.frames.find(matches);
      if (found !== undefined || this.closed) return found;
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
    }
  }

  /** Resolves when the connection has closed. */
  async end(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => this.#watchers.push(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    while (this.#held.length >= headBytes) {
      const length = this.#held.readUIntBE(0, 3);
      if (this.#held.length < headBytes + length) break;
      const [, , , type = 0, flag = 0] = this.#held;
      const payload = this.#held.subarray(headBytes, headBytes + length);
      this.frames.push({ type, flags: flag, stream: this.#held.readUInt32BE(5), payload });
      this.#held = this.#held.subarray(headBytes + length);
    }
    this.#wake();
  }

  #wake(): void {
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const wake of watchers) wake();
  }
}
