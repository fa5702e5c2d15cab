// Runs Lua scripts by their SHA-1 and sends the text where a server does not have it (restart, flush, failover).
import { createHash } from "node:crypto";
import type { Argument, Calls } from "./calls.ts";
import { type Script, StoreUnavailable } from "../plugin-api/store.ts";

export type RunScript = (
  script: Script,
  keys: readonly string[],
  args: readonly Argument[],
  limitMs: number,
) => Promise<unknown>;

/** @returns runs a script on keys that have their prefix already; strings in the reply are UTF-8 */
export function createScripts(calls: Calls): RunScript {
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
    return calls.send("evalsha", [digestOf(script), ...tail], "utf8", limitMs).catch((error: unknown) => {
      if (!(error instanceof StoreUnavailable) || error.code !== "NOSCRIPT") throw error;
      const leftMs = Math.max(1, limitMs - (performance.now() - startedAt));
      return calls.send("eval", [script.lua, ...tail], "utf8", leftMs);
    });
  };
}
