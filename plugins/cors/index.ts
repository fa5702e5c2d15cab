// The cors plugin (Fetch standard, "CORS protocol"): answers preflights in place of the service and puts the CORS
// fields on every other answer, the sidecar's own errors included, so that a page can read why it was refused.
import { definePlugin, note, type Exchange, type Hooks, pairsOf } from "../../src/plugin-api/contract.ts";
import { corsOptions } from "./options.ts";
import { compileOrigins } from "./origins.ts";
import { compilePreflight, isPreflight, listField } from "./preflight.ts";
import { addVary } from "./vary.ts";

const corsPrefix = "access-control-";

function isCorsField(lowerName: string): boolean {
  // Nearly every other name is shorter.
  return lowerName.length > corsPrefix.length && lowerName.startsWith(corsPrefix);
}

const originNote = note<string>("origin");

/** As noted in the request phase, for a later plugin may have taken the field out; requests without a route have no note. */
function originOf(exchange: Exchange): string | undefined {
  return originNote.get(exchange) ?? exchange.request.fields.get("origin");
}

export const cors = definePlugin({
  name: "cors",
  version: "1.0.0",
  apiVersion: 1,
  // Before auth: a preflight carries no credentials, and a refusal by auth needs the fields too.
  priority: 8,
  security: false,
  // Going on without it would let the service's own, perhaps laxer, CORS fields through.
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
        // An answer that is the same for every origin does not vary; any other does, even for those refused.
        if (!anyOrigin) addVary(fields, "Origin");
        const origin = anyOrigin ? "*" : originOf(exchange);
        if (origin === undefined || !isAllowed(origin)) return;
        fields.append("Access-Control-Allow-Origin", origin);
        for (const [name, value] of granted) fields.append(name, value);
      },
    };
  },
});
