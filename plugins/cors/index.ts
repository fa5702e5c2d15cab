// The cors plugin (Fetch standard, "CORS protocol"): answers preflights in place of the service and puts the CORS
// fields on every other answer, the sidecar's own errors included, so that a page can read why it was refused.
import { definePlugin, note, type Exchange, type Hooks, pairsOf } from "../../src/plugin-api/contract.ts";
import { corsOptions } from "./options.ts";
import { compileOrigins } from "./origins.ts";
import { compilePreflight, isPreflight, listField } from "./preflight.ts";
import { addVary } from "./vary.ts";

const corsPrefix = "access-control-";

function isCorsField(lowerName: string): boolean {
  // Cheap check first: nearly every field name is shorter than the prefix.
  return lowerName.length > corsPrefix.length && lowerName.startsWith(corsPrefix);
}

const originNote = note<string>("origin");

/**
 * Prefers the Origin noted in the request phase, as a later plugin may have removed it. Without a route there is no
 * note.
 */
function originOf(exchange: Exchange): string | undefined {
  return originNote.get(exchange) ?? exchange.request.fields.get("origin");
}

export const cors = definePlugin({
  name: "cors",
  version: "1.0.0",
  apiVersion: 1,
  // Before auth: a preflight carries no credentials, and the CORS fields also have to be on auth's refusals.
  priority: 8,
  security: false,
  // Failing open would let the service's own CORS fields through, which may be laxer.
  failMode: "closed",
  options: corsOptions,
  lint: async () => (await import("./lint.ts")).lint,

  setup({ options }): Hooks {
    const anyOrigin = options.origins.includes("*");
    const isAllowed = compileOrigins(options.origins);
    const answerPreflight = compilePreflight(options, isAllowed);
    const granted = pairsOf([
      ...(options.credentials ? ["Access-Control-Allow-Credentials", "true"] : []),
      ...listField("Access-Control-Expose-Headers", options.exposeHeaders),
    ]);

    return {
      onRequest(exchange) {
        if (isPreflight(exchange.request)) return answerPreflight(exchange.request);
        const origin = exchange.request.fields.get("origin");
        if (origin !== undefined && !anyOrigin) originNote.set(exchange, origin);
        return undefined;
      },
      onResponse(exchange, { fields }) {
        if (isPreflight(exchange.request)) return;
        fields.deleteWhere(isCorsField);
        // Only an answer that is the same for every origin does not vary. Refused origins get Vary, too.
        if (!anyOrigin) addVary(fields, "Origin");
        const origin = anyOrigin ? "*" : originOf(exchange);
        if (origin === undefined || !isAllowed(origin)) return;
        fields.append("Access-Control-Allow-Origin", origin);
        for (const [name, value] of granted) fields.append(name, value);
      },
    };
  },
});
