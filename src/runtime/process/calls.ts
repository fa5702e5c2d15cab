// Keeps the hook calls that wait for an answer from one process, and applies each answer to its exchange.
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
  /** How many reads of the client's body are in progress. Their time does not count against the plugin. */
  bodyReads: number;
  /** Aborts when nobody waits for the call any more; undefined = nobody waits for it from the start (onComplete). */
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
  /** How many answers came for calls that are not waiting. */
  unknown = 0;

  /**
   * @param maxBodyBytes limit of a body that the plugin answers with
   * @param limitMs time limit of a hook
   * @param now monotonic clock, in milliseconds
   */
  constructor(maxBodyBytes: number, limitMs: number, now: () => number) {
    this.#maxBodyBytes = maxBodyBytes;
    this.#limitMs = limitMs;
    this.#now = now;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** @returns the id of the call */
  add(call: Call): number {
    this.#last += 1;
    this.#waiting.set(this.#last, call);
    return this.#last;
  }

  /** Resolves once no call waits: at the latest when the last of them has expired. */
  async idle(): Promise<void> {
    if (this.#waiting.size > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
  }

  get(id: unknown): Call | undefined {
    return typeof id === "number" ? this.#waiting.get(id) : undefined;
  }

  answered(id: unknown, given: unknown, changed: unknown, blobs: readonly Buffer[]): void {
    const call = this.#take(id);
    if (call === undefined) return;
    // The chain has gone on without the answer, so the exchange must not be touched.
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

  /** @param error the hook's error, or one that says why there is no answer */
  failed(id: unknown, error: unknown): void {
    this.#take(id)?.reject(error);
  }

  /** The process is gone: all calls fail. */
  failAll(error: Error): void {
    const calls = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const call of calls) call.reject(error);
    this.#onIdle?.();
  }

  /**
   * @param graceMs added to the time limit, so that the caller's own limit passes first
   * @returns ids of the calls that waited longer; they have failed
   */
  expire(graceMs: number): number[] {
    const over: number[] = [];
    const before = this.#now() - this.#limitMs - graceMs;
    for (const [id, call] of this.#waiting)
      if (call.startedMono < before && call.bodyReads === 0) over.push(id);
    for (const id of over) this.failed(id, new Error(`no answer within ${this.#limitMs} ms`));
    return over;
  }

  /**
   * Runs a read of the client's body. It takes as long as the client does, so the call's time limit starts again after
   * it.
   */
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

/** Applies all changes, or none if one of them is not allowed. */
function apply({ exchange, response, fields }: Call, read: ReadChanges): void {
  checkEdits(fields, "request", read.request);
  checkEdits(fields, "response", read.response);
  edit(exchange.request.fields, read.request);
  // It can only be set, so that a plugin cannot take back what another one said.
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
