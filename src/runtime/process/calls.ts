// The hook calls that wait for one process's answer: what is sent for each, and what an answer does to its exchange.
import type { Exchange, ExchangeResponse, Verdict } from "../../plugin-api/exchange.ts";
import type { ExtensionFields, MessageSide } from "../extension-fields.ts";
import type { Fields } from "../../plugin-api/fields.ts";
import type { HookName } from "./protocol.ts";
import { changes, type ReadChanges, type ReadVerdict, Unreadable, verdict } from "./received.ts";

export interface Call {
  readonly hook: HookName;
  readonly exchange: Exchange;
  readonly response: ExchangeResponse | undefined;
  readonly fields: ExtensionFields;
  /** When its time limit began to run, on the monotonic clock. */
  startedMono: number;
  /** Reads of the client's body that are under way: their time is not the plugin's. */
  bodyReads: number;
  /** Aborts when nobody waits for it any more; undefined = nobody ever does. */
  readonly signal: AbortSignal | undefined;
  resolve(verdict: Verdict): void;
  reject(error: unknown): void;
}

export class Calls {
  readonly #maxBodyBytes: number;
  readonly #limitMs: number;
  readonly #now: () => number;
  readonly #waiting = new Map<number, Call>();
  #last = 0;
  #onIdle: (() => void) | undefined;
  /** Answers to calls that nobody waits for. */
  unknown = 0;

  /**
   * @param maxBodyBytes of a body that the plugin answers with
   * @param limitMs of a hook
   */
  constructor(maxBodyBytes: number, limitMs: number, now: () => number) {
    this.#maxBodyBytes = maxBodyBytes;
    this.#limitMs = limitMs;
    this.#now = now;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** @returns its id */
  add(call: Call): number {
    this.#last += 1;
    this.#waiting.set(this.#last, call);
    return this.#last;
  }

  /** Resolves once nothing is waited for: at the latest when the last of them has expired. */
  async idle(): Promise<void> {
    if (this.#waiting.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  get(id: unknown): Call | undefined {
    return typeof id === "number" ? this.#waiting.get(id) : undefined;
  }

  answered(id: unknown, given: unknown, changed: unknown, blobs: readonly Buffer[]): void {
    const call = this.#take(id);
    if (call === undefined) return;
    // Whoever called has gone on without it: the exchange is not to be touched.
    if (call.signal?.aborted === true) return call.reject(new Error("the answer came too late"));
    try {
      const read = verdict(given, blobs, this.#maxBodyBytes);
      if (read !== undefined) checkVerdict(read, call.fields);
      if (changed !== null) apply(call, changes(changed, blobs, this.#maxBodyBytes));
      call.resolve(read);
    } catch (error) {
      call.reject(error);
    }
  }

  /** @param error the hook's, or what is to be told of it */
  failed(id: unknown, error: unknown): void {
    this.#take(id)?.reject(error);
  }

  /** The process is gone. */
  failAll(error: Error): void {
    const calls = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const call of calls) call.reject(error);
    this.#onIdle?.();
  }

  /**
   * @param graceMs beyond the time limit, so that whoever called is the first to see it pass
   * @returns ids of those that were waited for longer; they are failed
   */
  expire(graceMs: number): number[] {
    const over: number[] = [];
    const before = this.#now() - this.#limitMs - graceMs;
    for (const [id, call] of this.#waiting)
      if (call.startedMono < before && call.bodyReads === 0) over.push(id);
    for (const id of over) this.failed(id, new Error(`no answer within ${this.#limitMs} ms`));
    return over;
  }

  /** The call reads the client's body, which takes as long as the client does. */
  async whileReading<T>(call: Call, read: () => Promise<T>): Promise<T> {
    call.bodyReads += 1;
    try {
      return await read();
    } finally {
      call.bodyReads -= 1;
      call.startedMono = this.#now();
    }
  }

  #take(id: unknown): Call | undefined {
    const call = this.get(id);
    if (call === undefined) this.unknown += 1;
    else this.#waiting.delete(id as number);
    if (this.#waiting.size === 0) this.#onIdle?.();
    return call;
  }
}

function checkVerdict(read: ReadVerdict, fields: ExtensionFields): void {
  const flat = read.action === "respond" ? (read.fields ?? []) : read.error.fields;
  for (let i = 0; i < flat.length; i += 2)
    checkEdit(fields, "response", flat[i] as string, flat[i + 1] as string);
}

/** All of it or nothing. */
function apply({ exchange, response, fields }: Call, read: ReadChanges): void {
  checkEdits(fields, "request", read.request);
  checkEdits(fields, "response", read.response);
  edit(exchange.request.fields, read.request);
  // Once only, so that a plugin cannot take back what another one said.
  if (read.responseIsPersonal) exchange.responseIsPersonal = true;
  if (read.refusedBecause !== undefined) exchange.refusedBecause = read.refusedBecause;
  if (response === undefined) return;
  edit(response.fields, read.response);
  if (read.status !== undefined) response.status = read.status;
  if (read.body !== undefined) response.replaceBody(read.body);
}

function checkEdits(fields: ExtensionFields, side: MessageSide, edits: readonly string[]): void {
  for (let i = 0; i < edits.length; i += 3)
    checkEdit(fields, side, edits[i + 1] as string, edits[i + 2] as string);
}

function checkEdit(fields: ExtensionFields, side: MessageSide, name: string, value: string): void {
  const problem = fields.problem(side, name, value);
  if (problem !== undefined) throw new Unreadable(`it sets ${problem}`);
}

function edit(fields: Fields, edits: readonly string[]): void {
  for (let i = 0; i < edits.length; i += 3) {
    const name = edits[i + 1] as string;
    if (edits[i] === "set") fields.set(name, edits[i + 2] as string);
    else if (edits[i] === "append") fields.append(name, edits[i + 2] as string);
    else fields.delete(name.toLowerCase().replaceAll("_", "-"));
  }
}
