// Handles responses: reads the body before the head goes out, so that a body that cannot be changed becomes a 502
// instead of half an answer.
import { promisify } from "node:util";
import zlib from "node:zlib";
import {
  type Exchange,
  type ExchangeResponse,
  type Fields,
  GatewayError,
  type Hooks,
  type RouteInfo,
  type Services,
} from "../../src/plugin-api/contract.ts";
import { changeBody } from "./change-body.ts";
import type { Place } from "./changes.ts";
import { CannotChange } from "./edit.ts";
import { isPlain, saysJson } from "./media-type.ts";
import { type Counters, countersOf } from "./metrics.ts";
import type { BodyTransformOptions } from "./options.ts";
import { digests } from "./request.ts";

type Decode = (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const decoders: ReadonlyMap<string, Decode> = new Map<string, Decode>([
  ["gzip", promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip)],
  ["x-gzip", promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip)],
  ["br", promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress)],
  ["zstd", promisify<Buffer, zlib.ZstdOptions, Buffer>(zlib.zstdDecompress)],
]);

/** Bound on bodies held at one time over all routes; each counts with its route's `maxBodyBytes`. */
const maxHeldBytes = 134_217_728;
let heldBytes = 0;

async function plainBody(response: ExchangeResponse, maxBytes: number): Promise<Buffer> {
  const coding = response.fields.get("content-encoding");
  const decode = isPlain(coding) ? undefined : decoders.get(coding?.trim().toLowerCase() ?? "");
  if (decode === undefined && !isPlain(coding)) throw new CannotChange("has a coding that is not known");
  const body = await response.readBody(maxBytes);
  if (body === undefined) throw new CannotChange(`is longer than ${maxBytes} bytes`);
  if (decode === undefined) return body;
  try {
    return await decode(body, { maxOutputLength: maxBytes });
  } catch {
    throw new CannotChange(`cannot be decoded, or is longer than ${maxBytes} bytes`);
  }
}

/** The bytes are no longer those that the service's strong tag stands for (RFC 9110 section 8.8.1). */
function weaken(fields: Fields): void {
  const tag = fields.get("etag");
  if (tag !== undefined && !tag.startsWith("W/")) fields.set("ETag", `W/${tag}`);
}

function describeChanged(fields: Fields): void {
  for (const name of [...digests, "content-encoding", "accept-ranges"]) fields.delete(name);
  weaken(fields);
}

/** A 304 must carry the tag that the client asked with, which its 200 had in weak form. */
function describeUnchanged({ request }: Exchange, { fields }: ExchangeResponse): void {
  const tag = fields.get("etag");
  if (tag !== undefined && request.fields.get("if-none-match")?.includes(`W/${tag}`) === true) weaken(fields);
}

/** A part of a body cannot be changed, and could show what would be removed. */
const isPart = ({ status, fields }: ExchangeResponse): boolean =>
  status === 206 || fields.has("content-range");

type Failed = (exchange: Exchange, why: string) => void;

function createFailed(
  onFailure: BodyTransformOptions["onFailure"],
  counters: Counters,
  { logger }: Services,
  route: string,
): Failed {
  return function failed(exchange, why) {
    counters[onFailure === "pass" ? "passed" : "refused"].inc();
    logger.debug({ requestId: exchange.id, route }, `the service's body ${why}: not changed`);
    if (onFailure === "pass") return;
    exchange.refusedBecause = `body-transform: the service's body ${why}`;
    throw new GatewayError(
      "upstream_invalid_response",
      "The service's answer is not as this route needs it.",
    );
  };
}

function createChange(
  changes: Place,
  maxBodyBytes: number,
  counters: Counters,
  failed: Failed,
): (exchange: Exchange, response: ExchangeResponse) => Promise<void> {
  return async function change(exchange, response) {
    heldBytes += maxBodyBytes;
    try {
      const body = await plainBody(response, maxBodyBytes);
      const changed = body.length === 0 ? undefined : changeBody(body, changes);
      counters[changed === undefined ? "unchanged" : "changed"].inc();
      if (changed === undefined) return;
      response.replaceBody(changed);
      describeChanged(response.fields);
    } catch (error) {
      if (!(error instanceof CannotChange)) throw error;
      failed(exchange, error.message);
    } finally {
      heldBytes -= maxBodyBytes;
    }
  };
}

export function onResponse(
  changes: Place,
  { maxBodyBytes, onFailure }: BodyTransformOptions,
  services: Services,
  { pattern }: RouteInfo,
): NonNullable<Hooks["onResponse"]> {
  const counters = countersOf(services.metrics, pattern, "response");
  const failed = createFailed(onFailure, counters, services, pattern);
  const change = createChange(changes, maxBodyBytes, counters, failed);
  return function changeResponse(exchange, response) {
    const { status, fields, origin } = response;
    if (origin !== "upstream" || status < 200 || status === 204 || status === 205) return undefined;
    if (status === 304) return describeUnchanged(exchange, response);
    if (isPart(response)) return failed(exchange, "is a part of one");
    if (!saysJson(fields.get("content-type") ?? "")) return undefined;
    if (exchange.request.method === "HEAD") {
      fields.delete("content-length");
      return describeChanged(fields);
    }
    if (heldBytes + maxBodyBytes > maxHeldBytes) {
      failed(exchange, "would be one too many to be taken in at once");
      // The next such body is changed.
      response.failedOpen = true;
      return undefined;
    }
    return change(exchange, response);
  };
}
