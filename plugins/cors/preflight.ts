// Recognises preflights (Fetch standard, "CORS-preflight request") and answers them. The answers are compiled once.
import type { ExchangeRequest, RespondVerdict } from "../../src/plugin-api/contract.ts";
import type { CorsOptions } from "./options.ts";

/** @returns false for OPTIONS without Access-Control-Request-Method, which is an ordinary request to the service */
export function isPreflight(request: ExchangeRequest): boolean {
  return (
    request.method === "OPTIONS" &&
    request.fields.has("origin") &&
    request.fields.has("access-control-request-method")
  );
}

/** @returns a name and a value for `name: a, b`, or nothing for an empty list */
export function listField(name: string, members: readonly string[]): readonly string[] {
  return members.length === 0 ? [] : [name, members.join(", ")];
}

/** Fields a browser sends when a page of a public network calls a private one. Browsers have used both names. */
const networks = ["Private-Network", "Local-Network"].map((network) => ({
  request: `Access-Control-Request-${network}`,
  requestLower: `access-control-request-${network.toLowerCase()}`,
  response: `Access-Control-Allow-${network}`,
}));

/**
 * Compiles the answers. A refused origin gets the same 204 without CORS fields, which the browser takes as a refusal.
 */
export function compilePreflight(
  options: CorsOptions,
  isAllowed: (origin: string) => boolean,
): (request: ExchangeRequest) => RespondVerdict {
  const anyOrigin = options.origins.includes("*");
  const vary = [
    ...(anyOrigin ? [] : ["Origin"]),
    "Access-Control-Request-Method",
    "Access-Control-Request-Headers",
    ...(options.privateNetwork ? networks.map(({ request }) => request) : []),
  ];
  const refused: RespondVerdict = { action: "respond", status: 204, fields: ["Vary", vary.join(", ")] };
  const allowed = [
    "Vary",
    vary.join(", "),
    ...(options.credentials ? ["Access-Control-Allow-Credentials", "true"] : []),
    ...listField("Access-Control-Allow-Methods", options.methods),
    ...listField("Access-Control-Allow-Headers", options.headers),
    "Access-Control-Max-Age",
    String(options.maxAgeSeconds),
  ];
  return function answerPreflight(request) {
    const origin = request.fields.get("origin");
    if (origin === undefined || !isAllowed(origin)) return refused;
    const fields = ["Access-Control-Allow-Origin", anyOrigin ? "*" : origin, ...allowed];
    if (options.privateNetwork) {
      for (const { requestLower, response } of networks) {
        if (request.fields.get(requestLower) === "true") fields.push(response, "true");
      }
    }
    return { action: "respond", status: 204, fields };
  };
}
