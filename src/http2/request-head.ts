// Turns an HTTP/2 request head into the form used everywhere else (RFC 9113 section 8.3): pseudo-fields become method,
// target and Host. What HTTP/2 forbids is refused even if node:http2 lets it through.
import { METHODS } from "node:http";
import type { ReceivedHead } from "../http1/request-head.ts";
import { isOfConnections } from "./fields.ts";
import { newWebSocketKey } from "../http1/websocket-key.ts";
import { GatewayError } from "../plugin-api/errors.ts";

export interface Http2Head extends ReceivedHead {
  readonly httpVersion: "2.0";
  readonly framing: "none" | "sized" | "chunked";
  /** An extended CONNECT for a WebSocket (RFC 8441). Other code sees it as the HTTP/1.1 upgrade that it stands for. */
  readonly upgrades: boolean;
  /** The fault that makes the request malformed: nothing of it goes any further. */
  readonly flaw: GatewayError | undefined;
}

/** The methods that the HTTP/1.1 parser knows: a method that it refuses must not get in over HTTP/2. */
const knownMethods = new Set(METHODS);

/** Pseudo-fields of a request, each at most once (sections 8.3.1 and 8.5, RFC 8441 section 4). */
type Pseudo = ":method" | ":scheme" | ":authority" | ":path" | ":protocol";
const pseudoNames = new Set<string>([":method", ":scheme", ":authority", ":path", ":protocol"]);
/**
 * @param flat name, value, … as received, including pseudo-fields
 * @param ended nothing follows the head
 */
export function http2Head(flat: readonly string[], ended: boolean): Http2Head {
  const pseudo = new Map<string, string>();
  const fields: string[] = [];
  let cookieAt = -1;
  let host: string | undefined;
  let isSized = false;
  let flaw: string | undefined;
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i] as string;
    const value = flat[i + 1] as string;
    if (name.startsWith(":")) {
      flaw ??= pseudoFlaw(name, pseudo, fields);
      pseudo.set(name, value);
    } else if (name === "cookie" && cookieAt !== -1) {
      // The pieces become one field (section 8.2.3): code that looks for a cookie looks in one field.
      fields[cookieAt] = `${fields[cookieAt]}; ${value}`;
    } else {
      flaw ??= fieldFlaw(name, value);
      if (name === "host") {
        if (host !== undefined) flaw ??= "Host is there twice";
        host = value;
        continue;
      }
      if (name === "cookie") cookieAt = fields.length + 1;
      if (name === "content-length") isSized = true;
      fields.push(name, value);
    }
  }
  const of = (name: Pseudo): string | undefined => pseudo.get(name);
  const authority = of(":authority") ?? host;
  const upgrades = pseudo.has(":protocol");
  flaw ??= requestFlaw(of, host);
  if (authority !== undefined) fields.unshift("Host", authority);
  const error = flaw === undefined ? protocolFlaw(of(":protocol")) : malformed(flaw);
  if (upgrades) addHandshake(fields);
  return {
    method: (upgrades ? "GET" : of(":method")) ?? "",
    target: of(":path") ?? "",
    httpVersion: "2.0",
    fields,
    framing: ended || upgrades ? "none" : isSized ? "sized" : "chunked",
    upgrades,
    flaw: error,
  };
}

const malformed = (flaw: string): GatewayError => new GatewayError("malformed_request", `${flaw}.`);

/** Among the protocols of extended CONNECT, only WebSocket is served. */
function protocolFlaw(protocol: string | undefined): GatewayError | undefined {
  if (protocol === undefined || protocol.toLowerCase() === "websocket") return undefined;
  return new GatewayError("not_implemented", "Of all :protocol, only websocket is served here.");
}

/** Adds the fields that an HTTP/1.1 upgrade also has (RFC 6455 section 4.1). */
function addHandshake(fields: string[]): void {
  for (let i = fields.length - 2; i >= 0; i -= 2) {
    if (fields[i] === "sec-websocket-key") fields.splice(i, 2);
  }
  fields.push("Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Key", newWebSocketKey());
}

function pseudoFlaw(
  name: string,
  pseudo: ReadonlyMap<string, string>,
  fields: readonly string[],
): string | undefined {
  if (!pseudoNames.has(name)) return "The head has an unknown pseudo-field";
  if (pseudo.has(name)) return `${name} is there twice`;
  return fields.length > 0 ? "A pseudo-field follows a field" : undefined;
}

function fieldFlaw(name: string, value: string): string | undefined {
  if (name === "" || /[A-Z]/.test(name)) return "A field's name is empty or not in lower case";
  if (isOfConnections(name)) return `${name} is a field of connections, which HTTP/2 has none of`;
  if (name === "te" && value.toLowerCase() !== "trailers") return "TE may only say trailers";
  return undefined;
}

function requestFlaw(of: (name: Pseudo) => string | undefined, host: string | undefined): string | undefined {
  const method = of(":method");
  if (method === undefined || !knownMethods.has(method)) return "The :method is not known";
  if ((method === "CONNECT") !== (of(":protocol") !== undefined))
    return method === "CONNECT" ? "CONNECT is not served here" : "Only CONNECT has a :protocol";
  const scheme = of(":scheme");
  if (scheme !== "http" && scheme !== "https") return "The :scheme is neither http nor https";
  const path = of(":path") ?? "";
  if (!path.startsWith("/") && path !== "*") return "The :path does not begin with a slash";
  const authority = of(":authority");
  if (authority !== undefined && host !== undefined && authority.toLowerCase() !== host.toLowerCase())
    return "Host and :authority differ";
  return undefined;
}
