// Keeps the last kill switches on disk, so that a sidecar that starts while Redis is down has the same plugins off.
// They are stored as they came, and pass the same checks again.
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { CheckDisk } from "../files/check-disk.ts";
import { KeptFile } from "../files/kept-file.ts";
import { parseJson } from "../language/json.ts";

/** Larger than the limit for reading: values grow when they are escaped as JSON. */
const maxBytes = 8 * 1_048_576;
const onDisk = z.strictObject({
  version: z.literal(1),
  switches: z.array(z.string()).max(8_192),
  // Written only where they are needed: older versions do not know these members.
  hadPolicy: z.boolean().default(true),
  aheadMs: z.int().default(0),
});

export interface KeptReading {
  /** Field, value, … */
  readonly switches: readonly string[];
  /** Whether Redis held a policy then: what has neither any more has lost both. */
  readonly hadPolicy: boolean;
  /** How far Redis' clock, by which switches expire, was ahead of this machine's; milliseconds. */
  readonly aheadMs: number;
}
/** A clock that is wrong by less is as good as Redis'. */
const exactMs = 1_000;

export interface KeptSwitchesOptions {
  /** OUTRIGGER_STATE_DIR; created if missing. */
  readonly dir: string;
  readonly service: string;
  readonly onTrouble: (message: string) => void;
  readonly checkDisk?: CheckDisk | undefined;
}

export class KeptSwitches {
  readonly #options: KeptSwitchesOptions;
  readonly #path: string;
  readonly #file: KeptFile;
  #last: Omit<KeptReading, "switches"> | undefined;

  constructor(options: KeptSwitchesOptions) {
    const { dir, service, checkDisk, onTrouble } = options;
    const path = join(dir, `disabled-${service}.json`);
    this.#options = options;
    this.#path = path;
    this.#file = new KeptFile({
      dir,
      path,
      checkDisk,
      onTrouble: (error) => onTrouble(`the kill switches could not be kept in ${path}: ${reason(error)}`),
    });
  }

  /** Never rejects. @returns undefined when there is no file, or no usable one */
  async load(): Promise<KeptReading | undefined> {
    await this.#file.tidy();
    try {
      if ((await stat(this.#path)).size > maxBytes) throw new Error("too large");
      return onDisk.parse(parseJson(await readFile(this.#path, "utf8")));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      this.#options.onTrouble(`the kept kill switches in ${this.#path} are ignored: ${reason(error)}`);
      return undefined;
    }
  }

  /** Writes in the background; of several waiting saves only the latest. */
  save({ switches, hadPolicy, aheadMs }: KeptReading): void {
    this.#last = { hadPolicy, aheadMs };
    const more = { ...(!hadPolicy && { hadPolicy }), ...(Math.abs(aheadMs) >= exactMs && { aheadMs }) };
    this.#file.save(() => JSON.stringify({ version: 1, switches, ...more }));
  }

  /** Writes the same switches again where what else is kept of them is no longer true. */
  renew(reading: KeptReading): void {
    const last = this.#last;
    const isMoved = Math.abs(reading.aheadMs - (last?.aheadMs ?? 0)) >= exactMs;
    if (isMoved || reading.hadPolicy !== (last?.hadPolicy ?? true)) this.save(reading);
  }

  async settled(): Promise<void> {
    await this.#file.settled();
  }
}

function reason(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? "damaged";
}
