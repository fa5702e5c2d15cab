// Runs a guest: instantiates its module with its imports, and makes the calls into it. Each call of the host is one
// call of `invoke`.
import type { Effects } from "./effects.ts";
import type { HostFunctions } from "./host-functions.ts";
import type { GuestExports, Memory } from "./memory.ts";
import type { Bounds, HookNumbers, ShimParts } from "./parts.ts";
import type { GuestFacts, GuestState, RootContext, StreamContext } from "./state.ts";
import type { StreamCalls } from "./stream-calls.ts";
import type { WasiCalls } from "./wasi-calls.ts";

type Hook = (...numbers: number[]) => number | undefined;

export class Program {
  readonly #parts: ShimParts;
  readonly #hooks: HookNumbers;
  readonly #bounds: Bounds;
  readonly #state: GuestState;
  readonly #memory: Memory;
  readonly #effects: Effects;
  readonly #streamCalls: StreamCalls;
  readonly #wasi: WasiCalls;
  readonly #imports: Record<string, HostFunctions>;
  readonly #requestPseudo = [":authority", ":path", ":method", ":scheme"];
  readonly #responsePseudo = [":status"];
  #exports: GuestExports = {};
  #started = false;
  /** Contexts whose end the guest was told of. */
  #ending: (StreamContext | RootContext)[] = [];

  /** @param key 32 random bytes */
  constructor(parts: ShimParts, hooks: HookNumbers, bounds: Bounds, facts: GuestFacts, key: string) {
    this.#parts = parts;
    this.#hooks = hooks;
    this.#bounds = bounds;
    const state = (this.#state = new parts.GuestState(facts));
    const memory = (this.#memory = new parts.Memory(bounds.names));
    const effects = (this.#effects = new parts.Effects(bounds.effects));
    const pairs = new parts.Pairs();
    this.#streamCalls = new parts.StreamCalls(state, memory, effects, pairs, bounds.calls, bounds.bodyBytes);
    const random = new parts.RandomBytes(key);
    const env = {
      ...new parts.HeaderCalls(state, memory, effects, pairs, bounds.fields).functions(),
      ...new parts.BufferCalls(state, memory, bounds.bodyBytes).functions(),
      ...this.#streamCalls.functions(),
      ...new parts.SharedCalls(state, memory, effects, bounds.shared).functions(),
      ...new parts.MetricCalls(memory, effects, bounds.metrics).functions(),
      ...new parts.PropertyCalls(state, memory, pairs, bounds.properties).functions(),
      ...new parts.LogCalls(state, memory, effects).functions(),
    };
    this.#wasi = new parts.WasiCalls(memory, effects, random, facts.environment, parts.GuestExit);
    const wasi = this.#wasi.functions();
    this.#imports = { env, wasi_snapshot_preview1: wasi, wasi_unstable: wasi };
  }

  /** @returns the names that guests can import, `module.name` */
  importNames(): string[] {
    return Object.entries(this.#imports).flatMap(([module, functions]) =>
      Object.keys(functions).map((name) => `${module}.${name}`),
    );
  }

  /**
   * @param instantiate creates an instance of the module with these imports, and returns its exports
   * @returns an answer like that of `invoke`; 0 = the guest started without effects
   */
  load(instantiate: (imports: object) => GuestExports): string | number {
    this.#effects.begin(0);
    try {
      this.#exports = instantiate(this.#imports);
      this.#memory.attach(this.#exports);
      if (this.#exports["_initialize"] === undefined) this.#call("_start");
      else {
        this.#call("_initialize");
        if (!this.#call("main", 0, 0)) this.#call("__main_void");
      }
      return this.#answer(0);
    } catch (error) {
      if (error instanceof this.#parts.GuestExit && error.code === 0) return this.#answer(0);
      return this.#failed(error);
    }
  }

  /**
   * @param context number of the context
   * @param number a parameter of the hook, see the methods below
   * @param text fields, or a configuration
   * @param more a body, or the host's facts about the exchange
   * @returns what the guest returned, followed by its effects, if there are any; a leading `!` = the call failed
   */
  invoke(hook: number, context: number, number: number, text: string, more: string): string | number {
    this.#effects.begin(context);
    this.#state.active = context;
    try {
      return this.#answer(this.#dispatch(hook, context, number, text, more));
    } catch (error) {
      return this.#failed(error);
    } finally {
      this.#state.callResponse = undefined;
    }
  }

  #dispatch(hook: number, context: number, number: number, text: string, more: string): number {
    const hooks = this.#hooks;
    switch (hook) {
      case hooks.request:
        return this.#request(context, number, text, more);
      case hooks.response:
        return this.#response(context, number, text);
      case hooks.end:
        return this.#end(text);
      case hooks.requestBody:
        return this.#body(context, 0, number, more);
      case hooks.responseBody:
        return this.#body(context, 1, number, more);
      case hooks.responseTrailers:
        return this.#trailers(context, text);
      case hooks.callResponse:
        return this.#callResponse(context, number, text, more);
      case hooks.tick:
        return this.#call("proxy_on_tick", context) ?? 0;
      case hooks.queueReady:
        return this.#call("proxy_on_queue_ready", context, number) ?? 0;
      case hooks.configure:
        return this.#configure(context, text);
      default:
        return this.#endRoot(context);
    }
  }

  /** @param number root * 8192 + number of fields * 2 + (1 if there is no body) */
  #request(id: number, number: number, text: string, info: string): number {
    const root = Math.floor(number / 8_192);
    this.#state.streams.set(id, {
      id,
      root,
      maps: [new this.#parts.HeaderMap(this.#requestPseudo, text), undefined, undefined, undefined],
      bodies: [undefined, undefined],
      changed: [false, false],
      info,
      properties: undefined,
      pending: false,
    });
    this.#call("proxy_on_context_create", id, root);
    this.#state.active = id;
    return this.#call("proxy_on_request_headers", id, (number & 8_191) >>> 1, number & 1) ?? 0;
  }

  #response(id: number, number: number, text: string): number {
    const stream = this.#stream(id);
    stream.maps[2] = new this.#parts.HeaderMap(this.#responsePseudo, text);
    return this.#call("proxy_on_response_headers", id, number >>> 1, number & 1) ?? 0;
  }

  // Bytes that a paused guest was given before are still there and come first.
  #body(id: number, which: 0 | 1, last: number, bytes: string): number {
    const stream = this.#stream(id);
    const body = (stream.bodies[which] ?? "") + bytes;
    stream.bodies[which] = body;
    const trailers = which === 0 ? 1 : 3;
    if (last === 1) stream.maps[trailers] ??= new this.#parts.HeaderMap([], "");
    const name = which === 0 ? "proxy_on_request_body" : "proxy_on_response_body";
    const action = this.#call(name, id, body.length, last) ?? 0;
    this.#tellBodies();
    if (action === 0) stream.bodies[which] = undefined;
    return action;
  }

  #trailers(id: number, text: string): number {
    const stream = this.#stream(id);
    const map = (stream.maps[3] = new this.#parts.HeaderMap([], text));
    return this.#call("proxy_on_response_trailers", id, map.length) ?? 0;
  }

  /** @param text status, message, then name, value, …; no field = the call failed */
  #callResponse(root: number, call: number, text: string, body: string): number {
    if (!this.#streamCalls.answered(call) || !this.#state.roots.has(root)) return 0;
    const [status = "0", message = "", ...flat] = text.split("\0");
    let fields = "";
    for (let i = 0; i + 1 < flat.length; i += 2)
      fields += `\x01${flat[i] as string}\0${flat[i + 1] as string}`;
    const headers = new this.#parts.HeaderMap([], fields);
    const trailers = new this.#parts.HeaderMap([], "");
    this.#state.callResponse = { status: Number(status), message, headers, body, trailers };
    return this.#call("proxy_on_http_call_response", root, call, headers.length, body.length, 0) ?? 0;
  }

  /**
   * @param text the root's name, \0, its configuration
   * @returns 1 = the guest took it, 0 = it did not, 2 = it did not even start
   */
  #configure(id: number, text: string): number {
    const state = this.#state;
    const zero = text.indexOf("\0");
    const configuration = text.slice(zero + 1);
    state.roots.set(id, { id, name: text.slice(0, zero), configuration, pending: false });
    this.#call("proxy_on_context_create", id, 0);
    state.active = id;
    if (!this.#started) {
      this.#started = true;
      state.startsVm = true;
      const started = this.#call("proxy_on_vm_start", id, state.facts.vmConfiguration.length);
      state.startsVm = false;
      state.active = id;
      if (started === 0) return 2;
    }
    return this.#call("proxy_on_configure", id, configuration.length) === 0 ? 0 : 1;
  }

  /** @param text for each exchange its id, \0 and the host's facts about its end; separated by \x01 */
  #end(text: string): number {
    for (const line of text.split("\x01")) {
      const zero = line.indexOf("\0");
      const stream = this.#state.streams.get(Number(line.slice(0, zero)));
      if (stream === undefined) continue;
      stream.info += line.slice(zero);
      this.#done(stream);
    }
    return 0;
  }

  #endRoot(id: number): number {
    const root = this.#state.roots.get(id);
    if (root !== undefined) this.#done(root);
    return 0;
  }

  #done(context: StreamContext | RootContext): void {
    this.#state.active = context.id;
    context.pending = true;
    if (this.#call("proxy_on_done", context.id) !== 0) context.pending = false;
    this.#ending.push(context);
    const tooMany = this.#ending[this.#ending.length - this.#bounds.pending];
    if (tooMany !== undefined) tooMany.pending = false;
  }

  /** Calls log and delete for contexts that the guest has finished with, and forgets them. */
  #forget(): void {
    const through = this.#ending.filter(({ pending }) => !pending);
    this.#ending = this.#ending.filter(({ pending }) => pending);
    for (const { id } of through) {
      this.#state.active = id;
      this.#call("proxy_on_log", id);
      this.#state.active = id;
      this.#call("proxy_on_delete", id);
      this.#state.streams.delete(id);
      this.#state.roots.delete(id);
    }
  }

  #stream(id: number): StreamContext {
    const stream = this.#state.streams.get(id);
    if (stream === undefined) throw new Error(`there is no context ${id}`);
    return stream;
  }

  #call(name: string, ...numbers: number[]): number | undefined {
    return (this.#exports[name] as Hook | undefined)?.(...numbers);
  }

  /** Reports bodies that the guest changed, whether it was just shown them or not. */
  #tellBodies(): void {
    for (const { id, bodies, changed } of this.#state.touched) {
      for (const which of [0, 1]) {
        if (changed[which] === true) this.#effects.of(id).add("b", String(which), bodies[which] ?? "");
        changed[which] = false;
      }
    }
    this.#state.touched.clear();
  }

  #answer(action: number): string | number {
    if (this.#state.touched.size > 0) this.#tellBodies();
    if (this.#ending.length > 0) this.#forget();
    this.#wasi.flush();
    const effects = this.#effects.take();
    return effects === "" ? action : `${Math.min(action >>> 0, 9)}${effects}`;
  }

  /** The guest's effects before the failure are included: its log lines often say why it failed. */
  #failed(error: unknown): string {
    const reason = error instanceof Error ? (error.stack ?? error.message).slice(0, 2_048) : "it threw";
    this.#wasi.flush();
    return `!${reason.length}:${reason}${this.#effects.take()}`;
  }
}
