// A client of HTTP/1.1: one or several requests in a row, sent and read in one of several ways, mostly bad ones.
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { type RawAnswer, type RawClient, rawClient } from "../../support/raw-http.ts";
import type { Dice } from "./dice.ts";
import { type Run, settles } from "./ledger.ts";
import { type Request, requestOf } from "./requests.ts";

/** Also the sidecar's own answers to requests whose head it could not read. */
const withoutId = new Set([400, 408, 431, 503]);
const ways = [
  "full",
  "full",
  "full",
  "full",
  "abortMid",
  "abortSoon",
  "half",
  "slow",
  "reset",
  "stallRead",
  "stallSend",
] as const;

/** @param name makes the ids of its requests */
export async function http1Client(run: Run, port: number, dice: Dice, name: string): Promise<void> {
  const count = dice.oneIn(4) ? 1 + dice.below(4) : 1;
  const requests = Array.from({ length: count }, (_, nth) => requestOf(dice, `${name}-${nth}`));
  const way = dice.pick(ways);
  const why = `${way} ${requests.map(({ method, path, id }) => `${method} ${path} ${id}`).join(", ")}`;
  for (const { id } of requests) run.ledger.asked.set(id, why);
  const client = rawClient(connect({ port, host: "127.0.0.1" }));
  const check = new AnswerCheck(run, client, why);
  const bytes = Buffer.from(requests.map(({ text }) => text).join(""), "latin1");
  const cut = 1 + dice.below(bytes.length);
  const isRead = await send(client, way, { bytes, cut }, dice);
  if (isRead && !(await settles(check.all(way === "stallSend" ? begun(requests, cut) : requests)))) {
    run.ledger.fault(
      "an HTTP/1.1 client is stuck",
      `${why}: ${JSON.stringify(client.received().slice(-300))}`,
    );
  }
  // What comes behind the last answer is seen only by those who stay.
  if (isRead && dice.oneIn(2)) await Promise.race([client.closed, delay(700)]);
  if (isRead) check.nothingMore();
  client.socket.destroy();
  await client.closed;
}

/** @returns those of which at least a byte was sent: the others get no answer */
function begun(requests: readonly Request[], cut: number): readonly Request[] {
  let at = 0;
  return requests.filter(({ text }) => (at += text.length) - text.length < cut);
}

/** @returns false when the client has left without waiting for answers */
async function send(
  { socket }: RawClient,
  way: string,
  { bytes, cut }: { readonly bytes: Buffer; readonly cut: number },
  dice: Dice,
): Promise<boolean> {
  const waitMs = dice.below(60);
  switch (way) {
    case "abortMid":
    case "abortSoon":
    case "reset":
      socket.write(way === "abortMid" ? bytes.subarray(0, cut) : bytes);
      await delay(waitMs);
      if (way === "reset") socket.resetAndDestroy();
      else socket.destroy();
      return false;
    case "half":
      socket.end(bytes);
      break;
    case "slow":
      for (let at = 0; at < bytes.length && !socket.destroyed;) {
        const end = at + 1 + dice.below(Math.max(200, bytes.length / 5));
        socket.write(bytes.subarray(at, end));
        at = end;
        await delay(dice.below(10));
      }
      break;
    case "stallRead":
      socket.pause();
      socket.write(bytes);
      await delay(dice.below(400));
      socket.resume();
      break;
    case "stallSend":
      socket.write(bytes.subarray(0, cut));
      break;
    default:
      socket.write(bytes);
  }
  return true;
}

/** Holds answers to the requests that they have to belong to. */
class AnswerCheck {
  readonly #run: Run;
  readonly #client: RawClient;
  readonly #why: string;
  #isOver = false;

  constructor(run: Run, client: RawClient, why: string) {
    this.#run = run;
    this.#client = client;
    this.#why = why;
  }

  /** Resolves when all are answered, or the connection has ended. */
  async all(requests: readonly Request[]): Promise<void> {
    for (const request of requests) {
      if (this.#isOver) return;
      try {
        await this.#answer(request);
      } catch (error) {
        const isCut = String(error).includes("connection over");
        if (isCut) this.#broken(request);
        else this.#fault("an answer cannot be read", String(error));
        this.#isOver = true;
        return;
      }
    }
  }

  async #answer(request: Request): Promise<void> {
    let answer: RawAnswer;
    do answer = await this.#client.answer(request.method);
    while (answer.status < 200 && answer.status !== 101);
    this.#head(request, answer);
    // A refusal of what could not be read has a body, also in place of an answer to HEAD, and is the last.
    if (answer.field("x-request-id") !== request.id) this.#isOver = true;
    const { body } = answer;
    const text =
      answer.field("content-encoding") === "gzip" && body !== ""
        ? gunzipSync(Buffer.from(body, "latin1")).toString("latin1")
        : body;
    const rid = answer.field("x-rid");
    const isWhole = rid !== undefined && text.startsWith(`${rid}|`) && /^[^|]+\|x*$/.test(text);
    if (text.includes("|") && !isWhole) {
      this.#fault("an answer has another's body", `${request.id}: ${answer.head} ${text.slice(0, 100)}`);
    }
  }

  #head({ id }: Request, answer: RawAnswer): void {
    const { status, head } = answer;
    const [xid, rid, cached] = ["x-request-id", "x-rid", "x-cache"].map((name) => answer.field(name));
    if (!(status >= 101 && status <= 599)) this.#fault("no answer where one begins", `${id}: ${head}`);
    this.#run.ledger.answered.set(id, status);
    if (xid !== id && !withoutId.has(status)) {
      this.#fault("an answer has another's id", `${id}: ${head}`);
    }
    const isStored = /^(?:HIT|STALE)/.test(cached ?? "");
    if (rid !== undefined && rid !== id && !isStored) {
      this.#fault("an answer is another's", `${id}: ${head}`);
    }
    if (head.includes("EVIL")) this.#fault("an answer was smuggled", `${id}: ${head}`);
  }

  /** The connection has ended within an answer: its head counts all the same. */
  #broken(request: Request): void {
    const head = /HTTP\/1\.1 ([2-5]\d\d)[^]*?\r\n\r\n/.exec(this.#client.received());
    if (head !== null) this.#run.ledger.answered.set(request.id, Number(head[1]));
  }

  nothingMore(): void {
    const surplus = this.#client.received();
    if (surplus === "" || this.#isOver) return;
    this.#fault("bytes came behind the last answer", JSON.stringify(surplus.slice(0, 200)));
  }

  #fault(kind: string, detail: string): void {
    this.#run.ledger.fault(kind, `${detail} (${this.#why})`);
  }
}
