// Runs Lua scripts by their SHA-1, and sends the text if a server does not have the script (restart, flush, failover).
import { createHash } from "node:crypto";
import type { Argument, CommandSender } from "./command-sender.ts";
import { type Script, StoreUnavailable } from "../plugin-api/store.ts";

export type RunScript = (
  script: Script,
  keys: readonly string[],
  args: readonly Argument[],
  limitMs: number,
) => Promise<unknown>;

/** @returns a function that runs a script on keys that already have their prefix; strings in the reply are UTF-8 */
export function createScripts(sender: CommandSender): RunScript {
  const digests = new WeakMap<Script, string>();

  function digestOf(script: Script): string {
    let digest = digests.get(script);
    if (digest === undefined) {
      digest = createHash("sha1").update(script.lua).digest("hex");
      digests.set(script, digest);
    }
    return digest;
  }

  return (script, keys, args, limitMs) => {
    const startedAt = performance.now();
    const tail = [keys.length, ...keys, ...args];
    return sender.send("evalsha", [digestOf(script), ...tail], "utf8", limitMs).catch((error: unknown) => {
      if (!(error instanceof StoreUnavailable) || error.code !== "NOSCRIPT") throw error;
      const leftMs = Math.max(1, limitMs - (performance.now() - startedAt));
      return sender.send("eval", [script.lua, ...tail], "utf8", leftMs);
    });
  };
}
