// Opens a connection for one inspection of Redis: single commands, with Redis' answer to each. For `doctor`, not for
// traffic.
import { Command } from "ioredis";
import type { RedisAddress } from "./address.ts";
import { openCluster, openServer } from "./connect.ts";
import { connectionLost, noAnswer, reasonOf, replyCode } from "./failure.ts";

const connectMs = 3_000;
const commandMs = 2_000;

/** The result of a command: its reply, or Redis' refusal with its code word, or why there was no answer. */
export type Answer =
  | { readonly reply: unknown; readonly refused?: undefined }
  | { readonly refused: string; readonly code: string | undefined };

export interface Inspection {
  /** Never rejects. */
  ask(name: string, ...args: readonly (string | number)[]): Promise<Answer>;
}

/**
 * @param work gets the connection once it is open
 * @returns the result of `work`, or why there is no connection: never a credential
 */
export async function inspectRedis<Result>(
  address: RedisAddress,
  work: (redis: Inspection) => Promise<Result>,
): Promise<{ readonly result: Result } | { readonly unreachable: string }> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  let reason = noAnswer;
  const open = address.kind === "cluster" ? openCluster : openServer;
  const link = open(address, "outrigger-check", (up, why) => {
    if (up) return resolve(true);
    if (why !== connectionLost || reason === noAnswer) reason = why;
    // Another try would not help against these faults.
    if (/^(WRONGPASS|NOAUTH|NOPERM|ECONNREFUSED|ENOTFOUND)/.test(why) && address.kind === "standalone")
      resolve(false);
  });
  const timer = setTimeout(() => resolve(false), connectMs);
  try {
    if (!(await promise)) return { unreachable: reason };
    const { client } = link;
    return {
      result: await work({
        async ask(name, ...args) {
          const command = new Command(name, [...args], { replyEncoding: "utf8" });
          const limit = setTimeout(() => command.reject(new Error("Command timed out")), commandMs);
          try {
            return { reply: await client.sendCommand(command) };
          } catch (error) {
            return { refused: reasonOf(error), code: replyCode(error) };
          } finally {
            clearTimeout(limit);
          }
        },
      }),
    };
  } finally {
    clearTimeout(timer);
    link.close();
  }
}
