// The cache plugin: a shared HTTP cache (RFC 9111) in memory and in Redis. See README.md.
import { definePlugin, type Hooks } from "../../src/plugin-api/contract.ts";
import { LookUp } from "./flow/lookup.ts";
import { createKeyOf } from "./key.ts";
import { cacheOptions } from "./options.ts";
import { ResponsePath } from "./flow/response.ts";
import { createState } from "./state.ts";
import { UnsafeMethods } from "./flow/unsafe.ts";

const testMemoryBytes = 1_048_576;

export const cache = definePlugin({
  name: "cache",
  version: "1.0.0",
  apiVersion: 1,
  // After auth and limits: a hit is still authenticated, limited, logged and counted.
  priority: 20,
  security: false,
  failMode: "open",
  options: cacheOptions,
  lint: async () => (await import("./lint.ts")).lint,
  needs: { keys: ["cache:<service>:"], seals: ["purges"] },
  commands: async () => (await import("./commands.ts")).commands,
  init: createState,
  dispose: (state) => state.dispose(),

  setup({ options, services, state, behind }): Hooks {
    const { memoryBytes } = options;
    // A test of the policy begins with nothing stored and ends after one request.
    const release = state.reserve(services.testRun ? Math.min(memoryBytes, testMemoryBytes) : memoryBytes);
    const keyOf = createKeyOf(options, behind?.() ?? "");
    const unsafe = new UnsafeMethods(state, options, keyOf);
    const lookUp = new LookUp(state, options, keyOf, unsafe);
    const responsePath = new ResponsePath(state, options, unsafe);
    return {
      onRequest: lookUp.onRequest,
      onResponse: responsePath.onResponse,
      onError: responsePath.onError,
      onComplete: responsePath.onComplete,
      // Covers the longest wait for another request's answer, and the Redis calls before and after it.
      timeLimitMs: { onRequest: options.coalesceWaitMs + 6 * options.redisWaitMs + 1_000 },
      close: release,
    };
  },
});
