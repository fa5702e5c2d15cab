// The security-headers plugin: response fields by which browsers protect users of the service.
import {
  definePlugin,
  type Exchange,
  type ExchangeResponse,
  type Hooks,
  note,
} from "../../src/plugin-api/contract.ts";
import { compileNonce } from "./csp.ts";
import { fieldNames, type Line, linesOf } from "./fields.ts";
import { freshNonce } from "./nonce.ts";
import { securityHeadersOptions } from "./options.ts";

/** By which the service learns the nonce of a request. */
const nonceField = "X-CSP-Nonce";
const nonceNote = note<string>("nonce");

/** What runs scripts with nonces: pages. Pictures, data and scripts may then still be cached. */
const page = /^(?:text\/html|application\/xhtml\+xml)(?:[; ]|$)/i;

const hasNonce = ({ option, value }: Line): boolean =>
  option.startsWith("contentSecurityPolicy") && value.includes("$nonce");

type Setter = (exchange: Exchange, response: ExchangeResponse) => void;

function put({ fields }: ExchangeResponse, { name, key }: Line, value: string, override: boolean): boolean {
  if (fields.has(key)) {
    if (!override) return false;
    fields.set(name, value);
  } else {
    fields.append(name, value);
  }
  return true;
}

function setter(line: Line, override: boolean): Setter {
  // RFC 6797 section 7.2: not over plain http.
  if (line.option === "strictTransportSecurity") {
    return ({ request }, response) => {
      if (request.scheme === "https") put(response, line, line.value, override);
    };
  }
  if (!hasNonce(line)) return (_exchange, response) => void put(response, line, line.value, override);
  const { plain, withNonce } = compileNonce(line.value);
  return function setWithNonce(exchange, response) {
    // A 304 brings the fields of what the client has up to date (RFC 9110 section 15.4.5): that has its own nonce.
    if (response.status === 304) return;
    const nonce = nonceNote.get(exchange);
    if (nonce === undefined || !page.test(response.fields.get("content-type") ?? "")) {
      put(response, line, plain, override);
    } else if (put(response, line, withNonce(nonce), override)) {
      // Out of a cache the same nonce would come to everybody, for an attacker to know beforehand.
      exchange.responseIsPersonal = true;
    }
  };
}

export const securityHeaders = definePlugin({
  name: "security-headers",
  version: "1.0.0",
  apiVersion: 1,
  // The first to see a response: what it adds is stored by the cache, and the policy's other plugins have the last word.
  priority: 55,
  security: false,
  failMode: "closed",
  options: securityHeadersOptions,
  lint: async () => (await import("./lint.ts")).lint,

  setup({ options }): Hooks {
    const lines = linesOf(options);
    const setters = lines.map((line) => setter(line, options.override));
    const hooks: Hooks = {
      headOnlyFields: fieldNames,
      onResponse(exchange, response) {
        for (const set of setters) set(exchange, response);
      },
    };
    if (!lines.some(hasNonce)) return hooks;
    return {
      ...hooks,
      ownedRequestFields: [nonceField.toLowerCase()],
      onRequest(exchange) {
        const nonce = freshNonce();
        nonceNote.set(exchange, nonce);
        exchange.request.fields.set(nonceField, nonce);
      },
    };
  },
});
