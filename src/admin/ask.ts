// Sends requests to sidecars' admin listeners, for commands and for a sidecar that has no policy.
import { lookup } from "node:dns/promises";
import { X509Certificate } from "node:crypto";
import http from "node:http";
import https from "node:https";
import type { PeerCertificate } from "node:tls";
import type { ListenAddress } from "../config/formats.ts";
import { hostPort } from "../language/address-text.ts";
import type { CommonBytes } from "./common-bytes.ts";
import { contextOf, type SiblingTls } from "./siblings.ts";

export interface AdminListener {
  /** For messages to people. */
  readonly name: string;
  readonly address: ListenAddress;
  /** The listener must prove to be this sibling by TLS, and gets the own certificate. Absent: plain HTTP. */
  readonly sibling?: SiblingTls | undefined;
}

export interface AdminReply {
  readonly status: number;
  readonly body: string;
}

export interface ReadLimits {
  readonly limitMs: number;
  readonly maxBytes: number;
  /** A bound shared with other answers that are read at the same time. */
  readonly common?: CommonBytes;
  /** Default: GET. */
  readonly method?: "GET" | "POST" | "DELETE";
}

const ofCommands: ReadLimits = { limitMs: 5_000, maxBytes: 4_194_304 };

/** One listener for each address of the host name. Rejects when the name cannot be resolved. */
export async function listenersAt(address: ListenAddress): Promise<readonly AdminListener[]> {
  if ("path" in address) return [{ name: `unix:${address.path}`, address }];
  const found = await lookup(address.host, { all: true });
  return found.map(({ address: host }) => ({
    name: hostPort(host, address.port),
    address: { host, port: address.port },
  }));
}

/** Starts a request to an admin listener. @param signal ends it, even after the answer has begun */
export function askAdmin(
  { name, address, sibling }: AdminListener,
  path: string,
  token: string | undefined,
  signal: AbortSignal,
  method: ReadLimits["method"] = "GET",
): http.ClientRequest {
  const where = "path" in address ? { socketPath: address.path } : { host: address.host, port: address.port };
  const options = {
    ...where,
    method,
    path,
    signal,
    agent: false,
    headers: {
      host: "path" in address ? "localhost" : name,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
  };
  const request =
    sibling === undefined ? http.request(options) : https.request({ ...options, ...towards(sibling) });
  request.end();
  return request;
}

function towards(sibling: SiblingTls): https.RequestOptions {
  return {
    ...contextOf(sibling),
    rejectUnauthorized: true,
    // An SVID is checked by its SPIFFE id; DNS names in it have no meaning (X509-SVID section 5).
    checkServerIdentity: (_host: string, { raw }: PeerCertificate) =>
      sibling.endOf(new X509Certificate(raw)) === undefined ? new Error(`is not ${sibling.id}`) : undefined,
  };
}

/** Rejects when the listener is out of reach, too slow, or its answer too long. */
export async function readAdmin(
  listener: AdminListener,
  path: string,
  token: string | undefined,
  { limitMs, maxBytes, common, method }: ReadLimits = ofCommands,
): Promise<AdminReply> {
  const { promise, resolve, reject } = Promise.withResolvers<AdminReply>();
  const request = askAdmin(listener, path, token, AbortSignal.timeout(limitMs), method);
  const held = common?.hold(() => request.destroy(new Error("answers with the most of too much")));
  request.once("close", () => held?.release());
  request.once("error", reject);
  request.once("response", (response) => {
    const chunks: Buffer[] = [];
    let length = 0;
    response.on("data", (chunk: Buffer) => {
      length += chunk.length;
      held?.take(chunk.length);
      if (length > maxBytes) request.destroy(new Error(`answers with more than ${maxBytes} bytes`));
      else chunks.push(chunk);
    });
    response.once("error", reject);
    response.once("end", () => {
      held?.release();
      resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() });
    });
  });
  return await promise;
}
