// Decides who may use the sensitive endpoints: peers on this machine, and requests with the admin token.
import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isLoopbackHost } from "../config/formats.ts";
import { AdminProblem } from "./answer.ts";

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();

/** The host of a Host field, without port and brackets. */
function hostOf(authority: string): string {
  return authority.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
}

/** A sign that a program on this machine passes on somebody else's request; undefined = none. */
function foreignSign({ headers }: IncomingMessage): string | undefined {
  // A web page reaches loopback under its own name (DNS rebinding) or posts from its own origin (CSRF).
  if (headers.host !== undefined && !isLoopbackHost(hostOf(headers.host)))
    return "Host names another machine";
  if (headers.origin !== undefined && headers.origin !== `http://${headers.host}`)
    return "the request has a foreign Origin";
  const forwarded = headers.forwarded ?? headers["x-forwarded-for"] ?? headers.via;
  return forwarded === undefined ? undefined : "the request came through a proxy";
}

/**
 * @param token gives the current token; undefined = none is set
 * @returns a check that throws AdminProblem (401, 403) unless the request may use the sensitive endpoints
 */
export function createGuard(token: () => string | undefined): (request: IncomingMessage) => void {
  return function guard(request) {
    const now = token();
    const expected = now === undefined ? undefined : sha256(now);
    const shown = request.headersDistinct["authorization"];
    if (expected !== undefined && shown !== undefined) {
      const [, credential] = /^bearer +(\S+)$/i.exec(shown.length === 1 ? (shown[0] ?? "") : "") ?? [];
      // Digests have one length, so the comparison reveals nothing about the token's length.
      if (credential !== undefined && timingSafeEqual(sha256(credential), expected)) return;
      throw new AdminProblem(401, "The token is wrong.", { "WWW-Authenticate": 'Bearer realm="outrigger"' });
    }
    const peer = request.socket.remoteAddress;
    // A unix socket has no peer address; the permissions of its file decide who may connect.
    if (peer === undefined && !request.socket.destroyed) return;
    if (peer !== undefined && isLoopbackHost(peer)) {
      const foreign = foreignSign(request);
      if (foreign === undefined) return;
      throw new AdminProblem(403, `Refused without the token: ${foreign}.`);
    }
    if (expected === undefined) {
      throw new AdminProblem(403, "Only from this machine: no OUTRIGGER_ADMIN_TOKEN is set.");
    }
    throw new AdminProblem(401, "Only from this machine, or with the token.", {
      "WWW-Authenticate": 'Bearer realm="outrigger"',
    });
  };
}
