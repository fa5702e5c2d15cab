// Runs `outrigger tap`: prints the heads of exchanges as they end, from all sidecars that the operator names.
import { StringDecoder } from "node:string_decoder";
import { loadConfig } from "../app/environment.ts";
import { parseJson } from "../language/json.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { type AdminListener, askAdmin } from "../admin/ask.ts";
import { adminListeners } from "./admin-listeners.ts";
import { tapText } from "./tap-text.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { unreachedText } from "./unreached.ts";
import { untilSignal } from "./until-signal.ts";

export interface TapOptions {
  readonly admin?: readonly string[];
  readonly route?: string;
  readonly status?: string;
  readonly sample?: string;
  readonly rate?: string;
  readonly for?: string;
  readonly json?: true;
}

/** Longest event, in characters; a longer line is refused. */
const maxEvent = 1_048_576;

/**
 * @returns the exit code: 0 when the time is over, also after Ctrl-C; 1 when no sidecar was reached, or all were lost;
 * 2 when all that were reached call an option wrong
 */
export async function tap(terminal: Terminal, options: TapOptions): Promise<number> {
  const config = loadConfig(terminal.env);
  let listeners: readonly AdminListener[];
  try {
    listeners = await adminListeners(config, options.admin ?? []);
  } catch (error) {
    terminal.err(`--admin: ${printable(textOf(error))}\n`);
    return 2;
  }
  const query = new URLSearchParams();
  for (const name of ["route", "status", "sample", "rate", "for"] as const) {
    const value = options[name];
    if (value !== undefined) query.set(name, value);
  }
  const path = `/tap?${query.toString()}`;
  return await untilSignal(
    ["SIGINT"],
    async (stop) => {
      const ends = await Promise.all(
        listeners.map((listener) => {
          const tapped = { listener, path, token: config.adminToken, signal: stop };
          return follow(tapped, (event) => terminal.out(`${shown(event, options)}\n`)).catch(
            (error: unknown) => {
              if (stop.aborted) return 0;
              terminal.err(`${printable(unreachedText(listener, error, options.admin))}\n`);
              return error instanceof WrongOption ? 2 : 1;
            },
          );
        }),
      );
      if (stop.aborted || ends.includes(0)) return 0;
      return ends.includes(2) ? 2 : 1;
    },
    terminal.closed,
  );
}

/** What a sidecar says that the command was asked wrongly. */
class WrongOption extends Error {}

interface Tapped {
  readonly listener: AdminListener;
  readonly path: string;
  readonly token: string | undefined;
  readonly signal: AbortSignal;
}

/** Rejects when the sidecar cannot be reached, refuses, or breaks off. @returns 0 when the tap ended by itself */
async function follow(
  { listener, path, token, signal }: Tapped,
  onEvent: (event: unknown) => void,
): Promise<0> {
  const { promise, resolve, reject } = Promise.withResolvers<0>();
  const request = askAdmin(listener, path, token, signal);
  request.once("error", reject);
  request.once("response", (response) => {
    const isEvents = response.statusCode === 200;
    const lines = new Lines((line) => {
      if (line.startsWith("data: ")) onEvent(parseJson(line.slice("data: ".length)));
    });
    let refusal = "";
    response.on("data", (chunk: Buffer) => {
      try {
        if (isEvents) lines.take(chunk);
        else refusal = `${refusal}${chunk.toString()}`.slice(0, 4_096);
      } catch (error) {
        request.destroy(error as Error);
      }
    });
    response.once("error", reject);
    response.once("end", () => {
      if (isEvents) resolve(0);
      else {
        const Refusal = response.statusCode === 400 ? WrongOption : Error;
        reject(new Refusal(`answers ${response.statusCode}: ${detailIn(refusal)}`));
      }
    });
  });
  return await promise;
}

function detailIn(problem: string): string {
  try {
    return String((JSON.parse(problem) as { detail?: unknown }).detail);
  } catch {
    return problem;
  }
}

/** Splits bytes into lines. */
class Lines {
  readonly #decoder = new StringDecoder();
  readonly #onLine: (line: string) => void;
  #rest = "";

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  /** @throws Error for a line that is too long */
  take(chunk: Buffer): void {
    const lines = `${this.#rest}${this.#decoder.write(chunk)}`.split("\n");
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > maxEvent) throw new Error("sends a line that is too long");
    for (const line of lines) this.#onLine(line);
  }
}

function shown(event: unknown, { json }: TapOptions): string {
  return json === true ? JSON.stringify(event) : tapText(event).map(printable).join("\n");
}
