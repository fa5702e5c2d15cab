// Keeps all objects of one kind in a namespace up to date: lists them in pages, then watches from that version on.
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import { textOf } from "../plugin-api/error-text.ts";
import { ApiProblem, type KubernetesApi } from "./api.ts";

const texts = z.record(z.string(), z.string()).optional();

/** The members of any object that are read; the others depend on its kind. */
const kubernetesObject = z.looseObject({
  metadata: z.looseObject({
    name: z.string().max(253),
    uid: z.string().max(64),
    resourceVersion: z.string().max(256),
    generation: z.number().int().optional(),
    annotations: texts,
    labels: texts,
  }),
});

export type KubernetesObject = z.output<typeof kubernetesObject>;

const page = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string().min(1).max(256), continue: z.string().optional() }),
  items: z.array(kubernetesObject).nullable(),
});
const event = z.looseObject({
  type: z.enum(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]),
  object: z.looseObject({}),
});
const bookmark = z.looseObject({ metadata: z.looseObject({ resourceVersion: z.string().min(1).max(256) }) });
const failure = z.looseObject({ code: z.number().optional(), message: z.string().optional() });

export interface WatchedListOptions {
  readonly api: KubernetesApi;
  /** Path of the list, without a query. */
  readonly path: string;
  readonly labelSelector?: string;
  /** Name for people: `OutriggerPolicies of the namespace demo`. */
  readonly name: string;
  /** Called when the objects or `state` have changed. */
  readonly onChange: () => void;
  /** Milliseconds of the first backoff after a failure; doubled up to 64 times that. */
  readonly backOffMs?: number;
  readonly random?: () => number;
}

/** `absent`: the API server does not know the kind. */
export interface ListState {
  readonly is: "listing" | "synced" | "absent" | "failed";
  readonly detail?: string;
}

const pageSize = 200;
const maxObjects = 2_000;
const maxBytes = 128 * 1_048_576;
const watchSeconds = 290;
const graceMs = 20_000;
/** After more failures in a row than this the objects are listed again. */
const maxResumed = 4;

/** Whether the API server no longer has the version from which a watch should continue. */
const isGone = (error: unknown): boolean => error instanceof ApiProblem && error.status === 410;

export class WatchedList {
  readonly #options: WatchedListOptions;
  #objects = new Map<string, KubernetesObject>();
  #state: ListState = { is: "listing" };
  #isComplete = false;
  #failures = 0;

  constructor(options: WatchedListOptions) {
    this.#options = options;
  }

  /** Sorted by name. */
  get objects(): readonly KubernetesObject[] {
    return [...this.#objects.values()].toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }

  get state(): ListState {
    return this.#state;
  }

  /** Whether the list was complete once. Before that, a missing object may just not have been read yet. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Lists once. Rejects with ApiProblem, except for an absent kind. */
  async list(signal: AbortSignal): Promise<void> {
    try {
      await this.#list(signal);
    } catch (error) {
      this.#failed(error);
      if (this.#state.is !== "absent") throw error;
    }
  }

  /** Lists and watches until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    let version: string | undefined;
    let wasGone = false;
    while (!signal.aborted) {
      try {
        version = await this.#list(signal);
        // Keep backing off if the API server forgets a version that it has just listed; otherwise it would list
        // everything twice a second.
        if (!wasGone) this.#failures = 0;
        for (;;) version = await this.#watchOn(version, signal);
      } catch (error) {
        if (signal.aborted) return;
        wasGone = isGone(error);
        if (wasGone) this.#failures++;
        else this.#failed(error);
        await this.#rest(signal);
      }
    }
  }

  /**
   * Watches once. If the watch breaks, the next one continues from the same version. @returns the last known version
   */
  async #watchOn(from: string, signal: AbortSignal): Promise<string> {
    let version = from;
    const begunMono = performance.now();
    const query = { watch: "1", allowWatchBookmarks: "true", timeoutSeconds: String(watchSeconds) };
    const limitMs = watchSeconds * 1000 + graceMs;
    // Events may not come for long: the answer alone shows that the watch works.
    const onOpen = (): void => this.#say({ is: "synced" });
    try {
      const path = this.#path({ ...query, resourceVersion: from });
      await this.#options.api.watch(path, { signal, limitMs, onOpen }, (line) => {
        version = this.#take(line);
        this.#failures = 0;
        this.#say({ is: "synced" });
      });
      // A watch that ends at once without an event would otherwise be restarted in a tight loop.
      if (performance.now() - begunMono < 1_000 && version === from) await this.#rest(signal);
    } catch (error) {
      if (isGone(error) || signal.aborted || this.#failures >= maxResumed) throw error;
      this.#failed(error);
      await this.#rest(signal);
    }
    return version;
  }

  /** Applies one event. @returns the version after it. @throws ApiProblem */
  #take(line: unknown): string {
    const { type, object } = event.parse(line);
    if (type === "ERROR") {
      const { code, message = "an error" } = failure.parse(object);
      throw new ApiProblem(message.slice(0, 300), code);
    }
    if (type === "BOOKMARK") return bookmark.parse(object).metadata.resourceVersion;
    const found = kubernetesObject.parse(object);
    const { name, resourceVersion } = found.metadata;
    if (type === "DELETED") this.#objects.delete(name);
    else this.#objects.set(name, found);
    if (this.#objects.size > maxObjects) throw tooMany(this.#options.name);
    this.#options.onChange();
    return resourceVersion;
  }

  async #list(signal: AbortSignal): Promise<string> {
    const found = new Map<string, KubernetesObject>();
    let bytes = 0;
    let next: string | undefined;
    for (;;) {
      const query = { limit: String(pageSize), ...(next !== undefined && { continue: next }) };
      const reply = await this.#options.api.ask({ method: "GET", path: this.#path(query), signal });
      const { items, metadata } = page.parse(reply.document);
      for (const each of items ?? []) found.set(each.metadata.name, each);
      bytes += reply.length;
      if (found.size > maxObjects || bytes > maxBytes) throw tooMany(this.#options.name);
      next = metadata.continue;
      if (next !== undefined && next !== "") continue;
      this.#objects = found;
      this.#isComplete = true;
      this.#say({ is: "synced" });
      this.#options.onChange();
      return metadata.resourceVersion;
    }
  }

  #path(query: Readonly<Record<string, string>>): string {
    const { path, labelSelector } = this.#options;
    const all = { ...query, ...(labelSelector !== undefined && { labelSelector }) };
    return `${path}?${new URLSearchParams(all).toString()}`;
  }

  #failed(error: unknown): void {
    this.#failures++;
    const isAbsent = error instanceof ApiProblem && error.status === 404;
    const detail =
      error instanceof z.ZodError ? "the API server sends what is no such object" : textOf(error);
    this.#say({ is: isAbsent ? "absent" : "failed", detail: `${this.#options.name}: ${detail}` });
  }

  #say(state: ListState): void {
    if (state.is === this.#state.is && state.detail === this.#state.detail) return;
    this.#state = state;
    this.#options.onChange();
  }

  async #rest(signal: AbortSignal): Promise<void> {
    const { backOffMs = 500, random = Math.random } = this.#options;
    const ms = backOffMs * 2 ** Math.min(this.#failures, 6) * (0.5 + random());
    await wait(ms, undefined, { signal }).catch(() => {});
  }
}

const tooMany = (name: string): ApiProblem =>
  new ApiProblem(`there are more than ${maxObjects} ${name}, or more than ${maxBytes} bytes of them`);
