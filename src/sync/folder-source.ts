// Reads declared policies from a folder of files, such as a Git checkout that another program updates. It reads the
// folder anew each time: the other program may swap the folder by a symbolic link.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { textOf } from "../plugin-api/error-text.ts";
import { digestOf } from "../policy/document/digest.ts";
import { readPolicyFile } from "../policy/sources/file-source.ts";
import { type Declared, isLikePolicy, leftOut, placeOf, type WhenGone } from "./declared.ts";
import type { DeclaredSource, SourceState } from "./source.ts";

export interface FolderSourceOptions {
  readonly path: string;
  readonly maxBytes: number;
  readonly whenGone: WhenGone;
  /** Milliseconds between two looks. */
  readonly everyMs: number;
  /** Whether the files are read only once, as they are. */
  readonly once?: boolean;
}

const maxFiles = 1_000;
/** Milliseconds between two looks that have to find the same. */
const settleMs = 250;

export class FolderSource implements DeclaredSource {
  readonly name: string;
  readonly #options: FolderSourceOptions;
  #state: SourceState = { ok: false, detail: "not read yet" };
  #last = "";
  /** The last content that two consecutive looks found. */
  #settled: readonly Declared[] | undefined;

  constructor(options: FolderSourceOptions) {
    this.#options = options;
    this.name = `the folder ${options.path}`;
  }

  get state(): SourceState {
    return this.#state;
  }

  start(onChange: () => void, signal: AbortSignal): void {
    void this.#watch(onChange, signal);
  }

  async read(): Promise<readonly Declared[] | undefined> {
    if (this.#options.once !== true) return this.#settled;
    const found = await this.#look();
    if (found === undefined) throw new Error(this.#state.detail);
    return found;
  }

  async report(): Promise<void> {
    // A folder has nowhere to report to.
  }

  /**
   * Looks again and again. A half-written file may be a valid policy: only content that two looks in a row find counts.
   */
  async #watch(onChange: () => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const found = await this.#look();
      const now = found === undefined ? "" : fingerprint(found);
      const isSettled = found !== undefined && now === this.#last;
      const isNew = isSettled && (this.#settled === undefined || fingerprint(this.#settled) !== now);
      this.#last = now;
      if (isNew) this.#settled = found;
      if (isNew || found === undefined) onChange();
      await wait(isSettled ? this.#options.everyMs : Math.min(this.#options.everyMs, settleMs), undefined, {
        signal,
      }).catch(() => {});
    }
  }

  async #look(): Promise<readonly Declared[] | undefined> {
    const { path, maxBytes, whenGone } = this.#options;
    try {
      const all = (await readdir(path)).toSorted();
      const names = all.filter((name) => placeOf(name) !== undefined);
      if (names.length > maxFiles) throw new Error(`holds more than ${maxFiles} policies`);
      const declared: Declared[] = [];
      for (const name of names) {
        const { service, format } = placeOf(name) ?? { service: undefined, format: "any" };
        const reading = await readPolicyFile(join(path, name), maxBytes);
        const [bytes, flaw] =
          reading.state === "read" ? [reading.raw.shared, undefined] : [Buffer.alloc(0), reading.message];
        declared.push({ origin: name, service, bytes, format, reason: "", whenGone, flaw });
      }
      const others = all.filter(isLikePolicy);
      const left = leftOut(others);
      const detail = `${names.length} policies${left === "" ? "" : `; ${left}`}`;
      this.#state = { ok: true, detail, leftOut: left };
      return declared;
    } catch (error) {
      this.#state = {
        ok: false,
        detail: `${path}: ${(error as NodeJS.ErrnoException).code ?? textOf(error)}`,
      };
      return undefined;
    }
  }
}

const fingerprint = (declared: readonly Declared[]): string =>
  digestOf(declared.map(({ origin, bytes, flaw = "" }) => `${origin} ${digestOf(bytes)} ${flaw}`).join("\n"));
