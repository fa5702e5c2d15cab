// Handles each message that the sidecar sends to a plugin's process.
import { textOf } from "../../../plugin-api/error-text.ts";
import type { FrameWriter } from "../frames.ts";
import type { FleetFacts, LoadFacts, ToProcess, ToSidecar } from "../protocol.ts";
import { cut, type ErrorClass, errorOf } from "./errors.ts";
import { HookRunner } from "./hook-runner.ts";
import { loadBundle, type Loaded } from "./load-bundle.ts";
import { MetricChanges } from "./metric-changes.ts";
import { rehearse } from "./rehearsal.ts";
import { createServices, type Reply } from "./services.ts";
import { LogLimit } from "./log-limit.ts";

/** The module that `require("outrigger/plugin")` returns. */
export interface Contract {
  readonly GatewayError: ErrorClass;
}

interface Waiting {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

const metricsEveryMs = 250;
/** In characters of JSON. The state is sent in one frame. */
const maxStateLength = 262_144;

export class Session {
  readonly #writer: FrameWriter;
  readonly #contract: Contract;
  readonly #waiting = new Map<number, Waiting>();
  readonly #secrets = { values: {} as Readonly<Record<string, string>>, generation: 0 };
  readonly #fleet = { size: 1 };
  readonly #metrics: MetricChanges;
  readonly #hooks: HookRunner;
  readonly #logLimit = new LogLimit();
  #requests = 0;
  #loaded: Promise<Loaded> | undefined;

  constructor(writer: FrameWriter, contract: Contract) {
    this.#writer = writer;
    this.#contract = contract;
    this.#metrics = new MetricChanges(() => {
      setTimeout(() => this.#say(["metrics", this.#metrics.take()]), metricsEveryMs).unref();
    });
    this.#hooks = new HookRunner({
      say: (message) => this.#say(message),
      bytes: (content) => writer.bytes(content),
      readBody: async (call, maxBytes) => {
        const { bytes } = await this.#ask("body", call, maxBytes);
        return bytes ?? Buffer.alloc(0);
      },
      ErrorClass: contract.GatewayError,
    });
  }

  begin(): void {
    this.#say(["started"]);
  }

  take(message: ToProcess, blobs: readonly Buffer[]): void {
    switch (message[0]) {
      case "hook":
        return this.#hooks.run(message);
      case "ping":
        return this.#say(["pong", message[1]]);
      case "reply":
        return this.#settle(message[1], (waiting) => {
          const [, , value, place] = message;
          waiting.resolve({ value, bytes: place === null ? undefined : blobs[place] });
        });
      case "failure":
        return this.#settle(message[1], (waiting) => {
          const [, , text, parts] = message;
          waiting.reject(parts === null ? new Error(text) : errorOf(parts, this.#contract.GatewayError));
        });
      case "export":
        return void this.#state(message[1], (definition, state) => definition.exportState?.(state));
      case "import":
        return void this.#state(message[1], async (definition, state) => {
          await definition.importState?.(state, message[2]);
        });
      case "cancel":
        return this.#hooks.cancel(message[1]);
      case "forget":
        return this.#hooks.forget(message[1]);
      case "load":
        return this.#load(message[1], (blobs[message[2]] as Buffer).toString());
      case "setup":
        return void this.#setUp(message);
      case "close":
        return void this.#hooks.close(message[1]);
      case "secrets":
        this.#secrets.values = message[1];
        this.#secrets.generation += 1;
        return;
      case "fleet":
        this.#fleet.size = message[1];
        return;
    }
  }

  /** Reports an exception that no code of the plugin caught. */
  fault(error: unknown): void {
    this.#say(["fault", cut(textOf(error), 1_000)]);
  }

  #load(facts: LoadFacts, bundle: string): void {
    this.#secrets.values = facts.secrets;
    this.#fleet.size = (facts.fleet satisfies FleetFacts).size;
    const services = createServices({
      facts,
      secrets: this.#secrets,
      fleet: this.#fleet,
      metrics: this.#metrics,
      ask: (service, ...args) => this.#ask(service, ...args),
      bytes: (content) => this.#writer.bytes(content),
      log: (level, message, fields) => {
        const dropped = this.#logLimit.take(Date.now());
        if (dropped === undefined) return;
        if (dropped > 0) this.#say(["log", "warn", `${dropped} lines of this plugin were dropped`, "{}"]);
        this.#say([
          "log",
          level,
          cut(message, 1_000),
          fields.length > 8_000 ? '{"fields":"too long"}' : fields,
        ]);
      },
    });
    const { GatewayError } = this.#contract;
    this.#loaded = rehearse(GatewayError, { services, facts }).then(() =>
      loadBundle(bundle, facts, services, this.#contract),
    );
    this.#loaded.then(
      () => this.#say(["loaded"]),
      (error: unknown) => this.#say(["refused", 0, cut(textOf(error), 1_000)]),
    );
  }

  async #setUp([, setup, options, route]: Extract<
    ToProcess,
    readonly ["setup", ...unknown[]]
  >): Promise<void> {
    try {
      const loaded = await (this.#loaded as Promise<Loaded>);
      const declared = await this.#hooks.setUp(setup, loaded, options, route);
      this.#say(["ready", setup, declared]);
    } catch (error) {
      this.#say(["refused", setup, cut(textOf(error), 1_000)]);
    }
  }

  async #state(
    question: number,
    work: (definition: Loaded["definition"], state: unknown) => unknown,
  ): Promise<void> {
    try {
      const { definition, state } = await (this.#loaded as Promise<Loaded>);
      const value = (await work(definition, state)) ?? null;
      if (JSON.stringify(value).length > maxStateLength)
        throw new Error(`what it exports is longer than ${maxStateLength} characters of JSON`);
      this.#say(["state", question, null, value]);
    } catch (error) {
      this.#say(["state", question, cut(textOf(error), 1_000), null]);
    }
  }

  #ask(service: string, ...args: readonly unknown[]): Promise<Reply> {
    this.#requests += 1;
    const id = this.#requests;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#say(["request", id, service, args]);
    });
  }

  #settle(id: number, settle: (waiting: Waiting) => void): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (waiting !== undefined) settle(waiting);
  }

  #say(message: ToSidecar): void {
    this.#writer.send(message);
  }
}
