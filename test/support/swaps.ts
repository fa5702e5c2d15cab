// Puts policies in force one after the other while clients send requests without a pause. Reports failures, and how
// long each change took.
import { Client } from "./crew.ts";

export interface Swaps {
  /** Writes the policy of this version; its answers carry the version in the field `x-version`. */
  readonly apply: (version: number) => void;
  readonly count: number;
  /** Default: 16. */
  readonly connections?: number;
}

export interface Swapped {
  readonly answered: number;
  /** Answers that were not 200, or came from a version that was not in force at the time. */
  readonly failed: readonly string[];
  /** Milliseconds from writing the policy to the first answer under it. */
  readonly millis: readonly number[];
}

const swapLimitMs = 10_000;

/** @param url URL of a sidecar that serves version 0 */
export async function swapUnderLoad(
  url: string,
  { apply, count, connections = 16 }: Swaps,
): Promise<Swapped> {
  let wanted = 0;
  let answered = 0;
  let seen: () => void = () => {};
  const stop = new AbortController();
  const failed: string[] = [];
  const ask = async (client: Client): Promise<void> => {
    while (!stop.signal.aborted) {
      const oldest = wanted - 1;
      try {
        const { status, fields } = await client.get();
        const version = Number(fields["x-version"]);
        answered += 1;
        if (version === wanted) seen();
        if (status !== 200 || !(version >= oldest && version <= wanted))
          failed.push(`${status} by version ${version}, not ${oldest} to ${wanted}`);
      } catch (error) {
        failed.push(String(error));
      }
    }
    client.close();
  };
  const asking = Array.from({ length: connections }, () => ask(new Client(url)));
  const millis: number[] = [];
  try {
    for (let version = 1; version <= count; version += 1) {
      const startedMono = performance.now();
      await new Promise<void>((resolve, reject) => {
        const limit = setTimeout(() => reject(new Error(`${version} is not in force in time`)), swapLimitMs);
        seen = () => {
          clearTimeout(limit);
          resolve();
        };
        wanted = version;
        apply(version);
      });
      millis.push(performance.now() - startedMono);
    }
  } finally {
    stop.abort();
    await Promise.all(asking);
  }
  return { answered, failed, millis };
}
