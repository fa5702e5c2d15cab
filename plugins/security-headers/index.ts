// The security-headers plugin: sets response fields that make browsers protect the users of the service.
import {
  definePlugin,
  type Exchange,
  type ExchangeResponse,
  type FieldLine,
  fieldLine,
  type Hooks,
  note,
} from "../../src/plugin-api/contract.ts";
import { compileNonce } from "./csp.ts";
import { fieldNames, type Line, linesOf } from "./fields.ts";
import { freshNonce } from "./nonce.ts";
import { securityHeadersOptions } from "./options.ts";

/** The request field that tells the service the nonce. */
const nonceField = "X-CSP-Nonce";
const nonceNote = note<string>("nonce");

/** Only pages run scripts with nonces. Pictures, data and scripts stay cacheable. */
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

const isSecure = ({ option }: Line): boolean => option === "strictTransportSecurity";
const toLines = (of: readonly Line[]): FieldLine[] => of.map(({ name, value }) => fieldLine(name, value));

/** Sets the fields that are the same for every request. RFC 6797 section 7.2 allows one of them on https only. */
function plainSetter(lines: readonly Line[], override: boolean): Setter {
  const [always, secure] = [
    toLines(lines.filter((line) => !isSecure(line))),
    toLines(lines.filter(isSecure)),
  ];
  return function setPlain({ request }, { fields }) {
    const isHttps = request.scheme === "https";
    if (override) {
      for (const { name, lower, value } of always) if (fields.has(lower)) fields.set(name, value);
      if (isHttps)
        for (const { name, lower, value } of secure) if (fields.has(lower)) fields.set(name, value);
    }
    if (isHttps) fields.appendMissing(secure);
    fields.appendMissing(always);
  };
}

function nonceSetter(line: Line, override: boolean): Setter {
  const { plain, withNonce } = compileNonce(line.value);
  return function setWithNonce(exchange, response) {
    // A 304 updates the fields of the answer that the client has (RFC 9110 section 15.4.5), whose page has its own
    // nonce.
    if (response.status === 304) return;
    const nonce = nonceNote.get(exchange);
    if (nonce === undefined || !page.test(response.fields.get("content-type") ?? "")) {
      put(response, line, plain, override);
    } else if (put(response, line, withNonce(nonce), override)) {
      // A cache would serve the same nonce to everybody, and an attacker could know it beforehand.
      exchange.responseIsPersonal = true;
    }
  };
}

export const securityHeaders = definePlugin({
  name: "security-headers",
  version: "1.0.0",
  apiVersion: 1,
  // The first to see a response: the cache stores what it adds, and the policy's other plugins can still change it.
  priority: 55,
  security: false,
  failMode: "closed",
  options: securityHeadersOptions,
  lint: async () => (await import("./lint.ts")).lint,

  setup({ options }): Hooks {
    const lines = linesOf(options);
    const setPlain = plainSetter(
      lines.filter((line) => !hasNonce(line)),
      options.override,
    );
    const setters = lines.filter(hasNonce).map((line) => nonceSetter(line, options.override));
    const hooks: Hooks = {
      headOnlyFields: fieldNames,
      onResponse(exchange, response) {
        setPlain(exchange, response);
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
