// The body-transform plugin: adds, removes and renames members of JSON bodies by JSON Pointer (RFC 6901).
import { definePlugin, type Hooks } from "../../src/plugin-api/contract.ts";
import { type Change, changesNothing, compileChanges, type Place } from "./changes.ts";
import { bodyTransformOptions } from "./options.ts";
import { onRequest } from "./request.ts";
import { onResponse } from "./response.ts";

/** Long, because a slow client or service is stopped by the sidecar's own limits. */
const timeLimitMs = 300_000;

function compiled(change: Change): Place | undefined {
  const changes = compileChanges(change);
  if (!("children" in changes)) throw new Error("these changes were refused when the options were read");
  return changesNothing(changes) ? undefined : changes;
}

export const bodyTransform = definePlugin({
  name: "body-transform",
  version: "1.0.0",
  apiVersion: 1,
  // On a response it runs before compress (51) and the cache, which work on its result.
  priority: 52,
  security: false,
  refuses: true,
  failMode: "closed",
  options: bodyTransformOptions,

  setup({ options, services, route }): Hooks {
    const [request, response] = [compiled(options.request), compiled(options.response)];
    const change = request && onRequest(request, options, services, route);
    return {
      timeLimitMs: { onRequest: timeLimitMs, onResponse: timeLimitMs },
      headOnlyFields: ["content-type", "content-encoding", "range", "if-range"],
      ...(change === undefined && response === undefined
        ? {}
        : {
            onRequest(exchange) {
              if (response !== undefined) {
                // A range of the service's bytes is no range of the changed body.
                exchange.request.fields.delete("range");
                exchange.request.fields.delete("if-range");
              }
              return change?.(exchange);
            },
          }),
      ...(response === undefined ? {} : { onResponse: onResponse(response, options, services, route) }),
    };
  },
});
