// Manages one life of a plugin's process for its host: the process is loaded, set up and watched.
import { textOf } from "../../plugin-api/error-text.ts";
import type { Extension } from "../../extensions/entry.ts";
import { hookLimitMs } from "../../extensions/entry.ts";
import type { RouteInfo } from "../../plugin-api/exchange.ts";
import type { Services } from "../../plugin-api/services.ts";
import { withinLimit } from "../../plugin-api/within-limit.ts";
import { maxAnswerBytes, memoryOf } from "./limits.ts";
import { processCommand } from "./command.ts";
import type { Effects } from "./effects.ts";
import { PluginProcess } from "./plugin-process.ts";
import type { Declared, LoadFacts } from "./protocol.ts";
import { count, declared, error as readError, shallow, shortened } from "./received.ts";
import { Questions } from "./questions.ts";
import { type RequestLimits, Requests } from "./requests.ts";
import { routeFacts } from "./shown.ts";
import { ProcessWatch } from "./watch.ts";

/** The parameters of a route's set-up. */
export interface RouteSetUp {
  readonly id: number;
  readonly options: unknown;
  readonly route: RouteInfo;
}

/** What all lives of one plugin share. */
export interface LifeParts {
  readonly extension: Extension;
  readonly version: string;
  readonly services: Services;
  readonly effects: Effects;
  readonly requestLimits: RequestLimits;
  /** Path of the process's program; undefined = the sidecar's own. */
  readonly program: string | undefined;
}

interface Waiting {
  readonly resolve: (declared: Declared | undefined) => void;
  readonly reject: (error: Error) => void;
}

export class PluginLife {
  readonly process: PluginProcess;
  readonly #parts: LifeParts;
  readonly #watch: ProcessWatch;
  readonly #requests: Requests;
  /** Set-ups without an answer yet, by id; 0 = the bundle itself. */
  readonly #waiting = new Map<number, Waiting>();
  readonly #setUps = new Map<number, Promise<Declared | undefined>>();
  readonly #questions = new Questions();
  readonly #begun = Promise.withResolvers<void>();
  #generation: number | undefined;
  #size: number;

  /** @param onEnd called once, when the process has ended */
  constructor(parts: LifeParts, onEnd: (reason: string) => void) {
    this.#parts = parts;
    const { extension, services } = parts;
    const now = (): number => services.clock.mono();
    const { memoryMiB, oldSpaceMiB, memoryBytes } = memoryOf(extension);
    const command = processCommand(oldSpaceMiB, extension.package.sha256, parts.program);
    if (command.warning !== undefined)
      services.logger.warn(
        { memoryMiB },
        `plugin's process is not as apart as it could be: ${command.warning}`,
      );
    this.process = new PluginProcess({
      command,
      maxBodyBytes: maxAnswerBytes(extension),
      timeMs: hookLimitMs(extension.entry),
      now,
      onMessage: (message, blobs) => this.#take(message, blobs),
      onEnd: (reason) => this.#ended(reason, onEnd),
    });
    const limits = { memoryBytes, cpuShare: extension.entry.limits.cpuShare };
    this.#watch = new ProcessWatch(this.process, limits, now, () => this.#tell());
    this.#requests = new Requests(this.process, services, parts.requestLimits);
    this.#generation = services.secrets.generation;
    this.#size = services.fleet.size();
  }

  get memoryBytes(): number | undefined {
    return this.#watch.memoryBytes();
  }

  get cpuShare(): number | undefined {
    return this.#watch.cpuShare;
  }

  /**
   * Starts and loads the process. Rejects with the reason why it cannot serve.
   * @param setUps those of all existing routes
   */
  async ready(setUps: readonly RouteSetUp[]): Promise<this> {
    await this.#begun.promise;
    this.process.removeFolder();
    this.#watch.start();
    const loaded = this.#answerTo(0);
    const bundle = this.process.bytes(this.#parts.extension.package.bytes);
    this.process.send(["load", this.#loadFacts(), bundle]);
    await loaded;
    await Promise.all(setUps.map((setUp) => this.#send(setUp)));
    return this;
  }

  /**
   * Sets up a route within `limitMs`. Rejects with what is wrong with the options, or with the error of the plugin's
   * own set-up.
   */
  setUp(setUp: RouteSetUp, limitMs: number): Promise<Declared | undefined> {
    return withinLimit(this.#send(setUp), limitMs, `its set-up took longer than ${limitMs} ms`);
  }

  /** @returns the plugin's state for its next version; undefined = none. Rejects with the plugin's error. */
  async exportState(): Promise<unknown> {
    const state = await this.#questions.ask((question) => this.process.send(["export", question]));
    return shallow(state, "the values of its state");
  }

  async importState(exported: unknown): Promise<void> {
    await this.#questions.ask((question) => this.process.send(["import", question, exported]));
  }

  async close(): Promise<void> {
    await this.process.close();
  }

  #send({ id, options, route }: RouteSetUp): Promise<Declared | undefined> {
    let answer = this.#setUps.get(id);
    if (answer !== undefined) return answer;
    answer = this.#answerTo(id);
    this.#setUps.set(id, answer);
    this.process.send(["setup", id, options, routeFacts(route)]);
    return answer;
  }

  #answerTo(id: number): Promise<Declared | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Declared | undefined>();
    if (this.process.over) {
      reject(new Error("its process is gone"));
      return promise;
    }
    this.#waiting.set(id, { resolve, reject });
    this.#watch.settingUp = this.#waiting.size;
    return promise;
  }

  #answered(id: unknown, answer: (waiting: Waiting) => void): void {
    const known = count(id, "the id of a set-up");
    const waiting = this.#waiting.get(known);
    this.#waiting.delete(known);
    this.#watch.settingUp = this.#waiting.size;
    if (waiting !== undefined) answer(waiting);
  }

  #take(message: readonly unknown[], blobs: readonly Buffer[]): void {
    const { effects, services } = this.#parts;
    switch (message[0]) {
      case "thrown":
        return this.#thrown(message, blobs);
      case "request":
        this.#requests.take(message, blobs).catch((error: unknown) => this.process.kill(textOf(error)));
        return;
      case "started":
        return this.#begun.resolve();
      case "loaded":
        return this.#answered(0, ({ resolve }) => resolve(undefined));
      case "ready":
        return this.#answered(message[1], ({ resolve }) => resolve(declared(message[2])));
      case "refused": {
        const why = shortened(message[2], "a reason", 1_000);
        return this.#answered(message[1], ({ reject }) => reject(new Error(why)));
      }
      case "state":
        return this.#questions.answered(message);
      case "log":
      case "metrics":
        return effects.take(message);
      case "fault": {
        const why = effects.fault(message, services.clock.mono());
        if (why !== undefined) this.process.kill(why);
        return;
      }
      default:
        throw new Error("says what is not in the protocol");
    }
  }

  #thrown(message: readonly unknown[], blobs: readonly Buffer[]): void {
    const [, id, why, parts] = message;
    const { calls } = this.process;
    if (calls.get(id) === undefined) return calls.failed(id, undefined);
    this.process.earn(message, blobs);
    const said = new Error(shortened(why, "what a hook threw", 1_024));
    calls.failed(id, parts === null ? said : readError(parts));
  }

  #loadFacts(): LoadFacts {
    const { extension, version, services } = this.#parts;
    const { manifest } = extension.package;
    const { service, instance, region, workers } = services.fleet;
    return {
      name: extension.name,
      version,
      hooks: manifest.hooks,
      secrets: secretsOf(services, manifest.needs.secrets),
      secretNames: manifest.needs.secrets,
      hasStore: services.store !== undefined,
      fleet: { service, instance, region: region ?? null, size: this.#size, workers: workers ?? 1 },
    };
  }

  /** Sends the fleet size and the secrets if they have changed. */
  #tell(): void {
    const { services, extension } = this.#parts;
    const size = services.fleet.size();
    if (size !== this.#size) this.process.send(["fleet", (this.#size = size)]);
    const { generation } = services.secrets;
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.process.send(["secrets", secretsOf(services, extension.package.manifest.needs.secrets)]);
  }

  #ended(reason: string, onEnd: (reason: string) => void): void {
    this.#watch.stop();
    const gone = new Error(`its process is gone: ${reason}`);
    this.#begun.promise.catch(() => {});
    this.#begun.reject(gone);
    for (const { reject } of this.#waiting.values()) reject(gone);
    this.#waiting.clear();
    this.#questions.end(gone);
    this.#requests.close();
    onEnd(reason);
  }
}

function secretsOf({ secrets }: Services, names: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const name of names) {
    const value = secrets.get(name);
    if (value !== undefined) values[name] = value;
  }
  return values;
}
