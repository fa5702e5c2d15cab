// A proxy in front of a real Redis that gives false answers on demand: for chosen commands it answers itself, delays,
// drops or truncates the answer, or closes the connection. It can also withhold change messages, and add latency to
// everything. RESP2 only.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** What happens to a command; the first matching rule counts. */
export interface Lie {
  /** Upper case, with the subcommand where there is one: `SUBSCRIBE`, `CLIENT TRACKING`; `*` = any. */
  readonly command: string;
  /** Raw RESP that is sent instead of Redis' answer, e.g. `*0\r\n`; Redis never sees the command. */
  readonly reply?: string;
  /** Delays Redis' answer. */
  readonly delayMs?: number;
  /** Drops Redis' answer. */
  readonly drop?: boolean;
  /** Passes only so many bytes of Redis' answer, then ends the connection. */
  readonly truncateAt?: number;
  /** Resets the connection when the command arrives. */
  readonly close?: boolean;
  /** How many times the rule applies. Default: always. */
  times?: number;
}

export interface LyingRedis {
  readonly url: string;
  readonly port: number;
  /** The rules; tests may change them at any time. */
  lies: Lie[];
  /** Whether pub/sub and invalidation messages are dropped. */
  muted: boolean;
  /** Commands seen so far, as rules name them. */
  readonly seen: string[];
  /** Resets every connection. */
  cut(): void;
  close(): Promise<void>;
}

export async function startLyingRedis(redisPort: number, lies: Lie[] = []): Promise<LyingRedis> {
  const sockets = new Set<Socket>();
  const links = new WeakSet<Link>();
  const state = { lies, muted: false, seen: [] as string[] };
  const server = createServer((client) => {
    const redis = connect(redisPort, "127.0.0.1");
    for (const socket of [client, redis]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        redis.destroy();
      });
    }
    links.add(new Link(client, redis, state));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const cut = (): void => sockets.forEach((socket) => socket.resetAndDestroy());
  return Object.assign(state, {
    url: `redis://127.0.0.1:${port}`,
    port,
    cut,
    async close() {
      cut();
      server.close();
      await once(server, "close");
    },
  });
}

/** One client's connection. Keeps answers in the order of the commands, whether they come from Redis or from here. */
class Link {
  readonly #client: Socket;
  readonly #state: Pick<LyingRedis, "lies" | "muted" | "seen">;
  /** Rules for the answers still to come, in order. */
  readonly #expected: (Lie | undefined)[] = [];
  #sent: Promise<void> = Promise.resolve();

  constructor(client: Socket, redis: Socket, state: Pick<LyingRedis, "lies" | "muted" | "seen">) {
    this.#client = client;
    this.#state = state;
    const commands = new Frames((frame) => {
      const words = wordsOf(frame);
      const lie = this.#lieFor(words);
      if (lie?.close === true) client.resetAndDestroy();
      // Redis sends one answer for each channel.
      const answers = /^P?(?:UN)?SUBSCRIBE$/u.test(words[0] ?? "") ? Math.max(1, words.length - 1) : 1;
      for (let i = 0; i < (lie?.reply === undefined ? answers : 1); i++) this.#expected.push(lie);
      if (lie?.reply === undefined) redis.write(frame);
      else this.#lieNow();
    });
    const answers = new Frames((frame) => {
      if (frame.toString("latin1").startsWith("*3\r\n$7\r\nmessage\r\n")) {
        if (!state.muted) this.#send(frame);
        return;
      }
      this.#answer(frame, this.#expected.shift());
      this.#lieNow();
    });
    client.on("data", (bytes: Buffer) => commands.push(bytes));
    redis.on("data", (bytes: Buffer) => answers.push(bytes));
  }

  #lieFor(words: readonly string[]): Lie | undefined {
    const [name = "", sub = ""] = words.map((word) => word.toUpperCase());
    const { lies, seen } = this.#state;
    seen.push(["CLIENT", "CLUSTER", "CONFIG"].includes(name) ? `${name} ${sub}` : name);
    const lie = lies.find(
      ({ command, times = Infinity }) => times > 0 && ["*", name, `${name} ${sub}`].includes(command),
    );
    if (lie?.times !== undefined) lie.times -= 1;
    return lie;
  }

  /** Sends the proxy's own answers as soon as it is their turn. */
  #lieNow(): void {
    for (let lie = this.#expected[0]; lie?.reply !== undefined; lie = this.#expected[0]) {
      this.#expected.shift();
      this.#send(Buffer.from(lie.reply, "latin1"), lie.delayMs);
    }
  }

  #answer(frame: Buffer, lie: Lie | undefined): void {
    if (lie?.drop === true) return;
    if (lie?.truncateAt === undefined) this.#send(frame, lie?.delayMs);
    else {
      this.#send(frame.subarray(0, lie.truncateAt), lie.delayMs);
      this.#sent = this.#sent.then(() => void this.#client.end());
    }
  }

  #send(bytes: Buffer, delayMs = 0): void {
    this.#sent = this.#sent.then(async () => {
      if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
      if (this.#client.writable) this.#client.write(bytes);
    });
  }
}

/** Cuts a RESP2 stream into whole values. */
class Frames {
  readonly #onFrame: (frame: Buffer) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(onFrame: (frame: Buffer) => void) {
    this.#onFrame = onFrame;
  }

  push(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (let end = endOf(this.#rest, 0); end !== undefined; end = endOf(this.#rest, 0)) {
      const frame = this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end);
      this.#onFrame(frame);
    }
  }
}

/** @returns the end of the value that begins at `at`; undefined = not yet received in full */
function endOf(bytes: Buffer, at: number): number | undefined {
  const lineEnd = bytes.indexOf("\r\n", at);
  if (lineEnd === -1) return undefined;
  const kind = String.fromCharCode(bytes[at] ?? 0);
  const count = Number(bytes.toString("latin1", at + 1, lineEnd));
  let end: number | undefined = lineEnd + 2;
  if (kind === "$" && count >= 0) end += count + 2;
  else if (kind === "*") for (let i = 0; i < count && end !== undefined; i++) end = endOf(bytes, end);
  return end === undefined || end > bytes.length ? undefined : end;
}

/** The words of a command: an array of bulk strings. */
function wordsOf(frame: Buffer): string[] {
  const words: string[] = [];
  let at = frame.indexOf("\r\n") + 2;
  while (at < frame.length) {
    const lineEnd = frame.indexOf("\r\n", at);
    const length = Number(frame.toString("latin1", at + 1, lineEnd));
    words.push(frame.toString("latin1", lineEnd + 2, lineEnd + 2 + length));
    at = lineEnd + 4 + length;
  }
  return words;
}
