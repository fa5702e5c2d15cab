// A service that behaves, well or badly, as each request asks, and checks the requests it receives. Every request
// carries a nonce; the answer and both bodies are made from it, so that none can be taken for another exchange's.
import type { RawPeer } from "../support/raw-peer.ts";

/** The acts that a request may ask for. */
export const acts = [
  "length",
  "chunked",
  "interim",
  "close",
  "eof",
  "early",
  "then-end",
  "then-reset",
  "surplus",
  "end-before",
  "reset-before",
  "reset-head",
  "end-body",
  "reset-body",
  "stall-before",
  "stall-body",
  "garbage",
] as const;
export type Act = (typeof acts)[number];

/** @returns bytes that belong to that nonce only */
export function bodyOf(nonce: string, size: number): string {
  return `${nonce};`.repeat(Math.ceil(size / (nonce.length + 1))).slice(0, size);
}

export interface Request {
  readonly nonce: string;
  readonly act: Act;
  readonly method: string;
  readonly answerBytes: number;
}

const poison = "HTTP/1.1 200 OK\r\nX-Nonce: poison\r\nContent-Length: 6\r\n\r\npoison";

export class FuzzService {
  /** Violations that must never happen. */
  readonly faults: string[] = [];
  readonly #seen = new Set<string>();
  #turn = 0;

  readonly script = async (peer: RawPeer): Promise<void> => {
    for (;;) {
      const head = await peer.head();
      const request = this.#readHead(head);
      if (request.act === "early") {
        peer.send(this.#answer(request, "length"));
        await this.#readBody(peer, head, request.nonce);
      } else {
        await this.#readBody(peer, head, request.nonce);
        if (!(await this.#act(peer, request))) return;
      }
    }
  };

  #readHead(head: string): Request {
    const field = (name: string): string => new RegExp(`\\r\\n${name}: (.*)\\r\\n`).exec(head)?.[1] ?? "";
    const nonce = field("X-Nonce");
    const method = head.slice(0, head.indexOf(" "));
    if (!/^[A-Z]+ \/\d+ HTTP\/1\.1\r\n/.test(head)) this.faults.push(`not a request: ${head}`);
    if (method === "POST" && this.#seen.has(nonce)) this.faults.push(`POST ${nonce} came twice`);
    this.#seen.add(nonce);
    return { nonce, method, act: field("X-Act") as Act, answerBytes: Number(field("X-Answer-Bytes")) };
  }

  async #readBody(peer: RawPeer, head: string, nonce: string): Promise<void> {
    let body = "";
    const length = /\r\nContent-Length: (\d+)\r\n/.exec(head)?.[1];
    if (length !== undefined) body = await peer.bytes(Number(length));
    else if (head.includes("\r\nTransfer-Encoding: chunked\r\n")) {
      for (let size = -1; size !== 0;) {
        size = Number.parseInt(await peer.until("\r\n"), 16);
        body += (await peer.bytes(size + 2)).slice(0, -2);
      }
    }
    if (body !== bodyOf(nonce, body.length)) this.faults.push(`wrong body for ${nonce}`);
  }

  /** @returns whether the connection stays open */
  async #act(peer: RawPeer, request: Request): Promise<boolean> {
    const { act } = request;
    const whole = this.#answer(request, "length");
    const bodyAt = whole.indexOf("\r\n\r\n") + 4;
    const half = whole.slice(0, bodyAt + Math.floor((whole.length - bodyAt) / 2));
    switch (act) {
      case "length":
      case "early":
        peer.send(whole);
        return true;
      case "chunked":
        for (const part of pieces(this.#answer(request, "chunked"), (this.#turn += 7))) {
          peer.send(part);
          await new Promise((resolve) => setImmediate(resolve));
        }
        return true;
      case "interim":
        peer.send(`HTTP/1.1 103 Early Hints\r\nX-Nonce: ${request.nonce}\r\n\r\n${whole}`);
        return true;
      case "then-end":
      case "then-reset":
        // The connection looks kept alive, but is closed just when the next request may be on its way.
        peer.send(whole);
        for (let i = (this.#turn += 1) % 3; i > 0; i -= 1)
          await new Promise((resolve) => setImmediate(resolve));
        if (act === "then-end") peer.end();
        else peer.reset();
        return false;
      case "close":
        peer.end(this.#answer(request, "close"));
        return false;
      case "eof":
        peer.end(this.#answer(request, "eof"));
        return false;
      case "surplus":
        peer.send(whole + (request.method === "HEAD" ? "" : poison));
        return true;
      case "end-before":
        peer.end();
        return false;
      case "reset-before":
        peer.reset();
        return false;
      case "reset-head":
        peer.send(whole.slice(0, 20));
        break;
      case "end-body":
        peer.end(half);
        return false;
      case "stall-body":
        peer.send(half);
        // For HEAD, half of the answer is the whole of it: there is no body.
        return request.method === "HEAD";
      case "reset-body":
        peer.send(half);
        break;
      case "garbage":
        peer.send(`HTTP/1.1 200 OK\r\nX-Nonce : ${request.nonce}\r\n\r\n`);
        break;
      case "stall-before":
        break;
    }
    if (act.startsWith("reset")) {
      await new Promise((resolve) => setImmediate(resolve));
      peer.reset();
    }
    return false;
  }

  #answer({ nonce, method, answerBytes }: Request, framing: "length" | "chunked" | "close" | "eof"): string {
    const body = bodyOf(nonce, answerBytes);
    const size = answerBytes.toString(16);
    const head = `HTTP/1.1 200 OK\r\nX-Nonce: ${nonce}\r\n`;
    if (method === "HEAD") return `${head}\r\n`;
    if (framing === "chunked") {
      return `${head}Transfer-Encoding: chunked\r\n\r\n${size}\r\n${body}\r\n0\r\nX-Trailer: ${nonce}\r\n\r\n`;
    }
    if (framing === "eof") return `${head}\r\n${body}`;
    const connection = framing === "close" ? "Connection: close\r\n" : "";
    return `${head}${connection}Content-Length: ${answerBytes}\r\n\r\n${body}`;
  }
}

/** Cuts the text into about four pieces, a short one into up to six, at places that differ from call to call. */
function pieces(text: string, salt: number): string[] {
  const step = Math.max(Math.ceil(text.length / 6), Math.floor(text.length / 4) - (salt % 13));
  const out: string[] = [];
  for (let at = 0; at < text.length; at += step) out.push(text.slice(at, at + step));
  return out;
}
