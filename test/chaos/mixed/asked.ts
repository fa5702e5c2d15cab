// A request as the misbehaving HTTP/1.1 service sees it.
import { setTimeout as delay } from "node:timers/promises";
import type { RawPeer } from "../../support/raw-peer.ts";
import { Dice } from "./dice.ts";
import type { Run } from "./ledger.ts";

export class Asked {
  readonly peer: RawPeer;
  readonly id: string;
  /** The last part of the path. */
  readonly behaviour: string;
  readonly isHead: boolean;
  readonly dice: Dice;
  /** What a whole answer holds: begins with the id, so that the client sees whose it is. */
  readonly text: string;
  readonly #head: string;
  readonly #run: Run;

  constructor(peer: RawPeer, head: string, run: Run) {
    const [, method, path] = /^(\S+) (\S+) HTTP\/1\.1\r\n/.exec(head) ?? [];
    if (method === undefined || path === undefined) {
      run.ledger.fault("the service got no request head", JSON.stringify(head));
      throw new Error("no request head");
    }
    this.#head = head;
    this.#run = run;
    this.isHead = method === "HEAD";
    this.peer = peer;
    this.id = this.field("x-request-id") ?? "none";
    this.behaviour = path.split("?", 1)[0]?.split("/").at(-1) ?? "";
    this.dice = new Dice(run.seed, this.id);
    this.text = `${this.id}|${"x".repeat(this.dice.oneIn(3) ? 60_000 : this.dice.below(2_000))}`;
  }

  field(name: string): string | undefined {
    return new RegExp(`^${name}: (.*)\\r$`, "im").exec(this.#head)?.[1];
  }

  /** Reads the body. It has to be the one that belongs to this head. */
  async readBody(): Promise<void> {
    const isChunked = this.field("transfer-encoding")?.toLowerCase() === "chunked";
    const body = isChunked
      ? await this.#chunks()
      : await this.peer.bytes(Number(this.field("content-length") ?? 0));
    if (body === "" || (body.startsWith(`${this.id}|`) && /^[^|]+\|b*$/.test(body))) return;
    this.#run.ledger.fault("the service got another request's body", `${this.id}: ${body.slice(0, 100)}`);
  }

  async #chunks(): Promise<string> {
    let body = "";
    for (;;) {
      const line = await this.peer.until("\r\n");
      if (!/^[0-9a-f]{1,8}(?:;.*)?\r\n$/i.test(line)) {
        this.#run.ledger.fault("the service got a broken chunk", `${this.id}: ${JSON.stringify(line)}`);
        throw new Error("broken chunk");
      }
      const size = Number.parseInt(line, 16);
      if (size === 0) break;
      body += await this.peer.bytes(size);
      await this.peer.until("\r\n");
    }
    while ((await this.peer.until("\r\n")) !== "\r\n");
    return body;
  }

  send(bytes: string | Buffer): void {
    if (!this.peer.socket.destroyed && !this.peer.socket.writableEnded) this.peer.send(bytes);
  }

  /** @param body left out where the method is HEAD */
  answer(start: string, fields: readonly string[], body = ""): void {
    const kind = this.dice.oneIn(2) ? ["Content-Type: text/plain"] : [];
    const lines = [`HTTP/1.1 ${start}`, `X-Rid: ${this.id}`, ...kind, ...fields, "", ""];
    this.send(lines.join("\r\n") + (this.isHead ? "" : body));
  }

  /** A regular answer. */
  whole(start = "200 OK", fields: readonly string[] = []): void {
    this.answer(start, [...fields, `Content-Length: ${this.text.length}`], this.text);
  }

  async pause(belowMs: number): Promise<void> {
    await delay(this.dice.below(belowMs));
  }

  get isGone(): boolean {
    return this.peer.socket.destroyed || this.peer.socket.writableEnded;
  }
}
