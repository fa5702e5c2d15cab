// One end of a TCP connection under a test's control: sends exactly the given bytes, and waits for the received ones.
import type { Socket } from "node:net";

export class RawPeer {
  readonly socket: Socket;
  /** Resolves when the connection is closed, by either side. */
  readonly closed: Promise<void>;
  /** Resolves when the other side has ended its half (FIN), or the connection is closed. */
  readonly ended: Promise<void>;
  #received = "";
  #over = false;
  #wake: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    this.ended = new Promise((resolve) => {
      for (const event of ["end", "close"]) {
        socket.once(event, () => {
          this.#over = true;
          this.#wakeAll();
          resolve();
        });
      }
    });
    socket.on("data", (bytes: Buffer) => {
      this.#received += bytes.toString("latin1");
      this.#wakeAll();
    });
    // A reset shows in `closed` and in pending waits.
    socket.on("error", () => {});
  }

  /** Received text that was not taken yet, one character a byte. */
  get received(): string {
    return this.#received;
  }

  /** Takes everything up to and including `mark`. @throws Error when the other side ends before */
  async until(mark: string): Promise<string> {
    for (;;) {
      const at = this.#received.indexOf(mark);
      if (at !== -1) return this.#take(at + mark.length);
      await this.#more();
    }
  }

  /** Takes a request or response head, with its empty line. */
  head(): Promise<string> {
    return this.until("\r\n\r\n");
  }

  /** Takes that many bytes. @throws Error when the other side ends before */
  async bytes(count: number): Promise<string> {
    while (this.#received.length < count) await this.#more();
    return this.#take(count);
  }

  /** Takes everything until the other side ends. */
  async rest(): Promise<string> {
    await this.ended;
    return this.#take(this.#received.length);
  }

  /** Text goes out as latin1. */
  send(data: string | Buffer): void {
    if (typeof data === "string") this.socket.write(data, "latin1");
    else this.socket.write(data);
  }

  /** Sends every byte in a write of its own, each in its own turn of the event loop. */
  async dribble(text: string): Promise<void> {
    for (const char of text) {
      this.send(char);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Ends this side only (FIN). */
  end(data?: string): void {
    if (data === undefined) this.socket.end();
    else this.socket.end(data, "latin1");
  }

  /** Resets the connection (RST). */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  #take(count: number): string {
    const taken = this.#received.slice(0, count);
    this.#received = this.#received.slice(count);
    return taken;
  }

  async #more(): Promise<void> {
    if (this.#over)
      throw new Error(`the other side ended after ${JSON.stringify(this.#received.slice(0, 200))}`);
    await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  #wakeAll(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const resolve of waiting) resolve();
  }
}
