// Compiles a policy's feature sources into a function that fills a model's input row from a request.
import { hash } from "node:crypto";
import { claimAt } from "../../src/language/claim-path.ts";
import { networkReader } from "../../src/language/network.ts";
import { type Exchange, fieldKey } from "../../src/plugin-api/contract.ts";
import type { CallerRates } from "./caller-rates.ts";
import type { FeatureOptions } from "./options.ts";

type Read = (exchange: Exchange) => number;

const numberPattern = /^[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:[eE][+-]?\d{1,3})?$/;
const ipv6Prefix = 64;
const maxCallerLength = 128;

/** Names the caller of a request, for counting within this sidecar. */
export function createCallerOf(): (exchange: Exchange) => string {
  const addressOf = networkReader(ipv6Prefix);
  return ({ identity, client }) => {
    if (identity === undefined) return addressOf(client.address);
    const { issuer = "", userId } = identity;
    // Long names are hashed, so that every caller takes about as little memory.
    return issuer.length + userId.length > maxCallerLength
      ? hash("sha256", `${issuer}\n${userId}`)
      : `${issuer}\n${userId}`;
  };
}

/**
 * @param names of the model's features, by index
 * @returns a function that fills a row; NaN = missing
 * @throws Error when a feature has no source, or a source has no feature
 */
export function compileFeatures(
  options: readonly FeatureOptions[],
  names: readonly string[],
  rateOf: Read,
): (exchange: Exchange, row: Float64Array) => void {
  const unknown = options.findIndex(({ name }) => !names.includes(name));
  if (unknown >= 0)
    throw new Error(`features[${unknown}].name: the model has no "${options[unknown]?.name}"`);
  const without = names.filter((name) => !options.some((each) => each.name === name));
  if (without.length > 0)
    throw new Error(
      `features: ${without.slice(0, 10).join(", ")} of the model ${without.length === 1 ? "has" : "have"} no source (from: missing, where there is none)`,
    );
  const reads = names.map((name) =>
    compile(options.find((each) => each.name === name) as FeatureOptions, rateOf),
  );
  return (exchange, row) => {
    for (let i = 0; i < reads.length; i += 1) row[i] = (reads[i] as Read)(exchange);
  };
}

export const rateFeature =
  (rates: CallerRates, callerOf: (exchange: Exchange) => string): Read =>
  (exchange) =>
    rates.count(callerOf(exchange));

function compile({ from, of, map, otherwise = Number.NaN }: FeatureOptions, rateOf: Read): Read {
  const numbers = map === undefined ? undefined : new Map(Object.entries(map));
  const ofText = (text: string | undefined): number => {
    if (text === undefined) return otherwise;
    if (numbers !== undefined) return numbers.get(text) ?? otherwise;
    const number = numberPattern.test(text) ? Number(text) : Number.NaN;
    // Overflow to Infinity counts as no value: no model is trained with it.
    return Number.isFinite(number) ? number : otherwise;
  };
  switch (from) {
    case "header": {
      const name = fieldKey(String(of));
      return ({ request }) => ofText(request.fields.get(name));
    }
    case "claim":
      return ({ identity }) => ofClaim(identity && claimAt(identity.claims, String(of)), ofText, otherwise);
    case "segment":
      return ({ request }) => ofText(request.path.split("/", Number(of) + 1)[Number(of)]);
    case "method":
      return ({ request }) => ofText(request.method);
    case "hour":
      return ({ startedAt }) => new Date(startedAt).getUTCHours();
    case "weekday":
      return ({ startedAt }) => new Date(startedAt).getUTCDay();
    case "addressGroup":
      return addressGroup(Number(of));
    case "rate":
      return rateOf;
    case "constant":
      return () => Number(of);
    case "missing":
      return () => Number.NaN;
    default:
      return from satisfies never;
  }
}

function ofClaim(claim: unknown, ofText: (text: string) => number, otherwise: number): number {
  if (typeof claim === "string") return ofText(claim);
  if (typeof claim === "number") return Number.isFinite(claim) ? claim : otherwise;
  return typeof claim === "boolean" ? Number(claim) : otherwise;
}

/** The group of the client's network (IPv4: /24, IPv6: /48) by FNV-1a: the same at every sidecar and in training. */
function addressGroup(groups: number): Read {
  const six = networkReader(48);
  return ({ client: { address } }) => {
    const network = address.includes(".") ? address.slice(0, address.lastIndexOf(".")) : six(address);
    let hash = 0x811c9dc5;
    for (let i = 0; i < network.length; i += 1) hash = Math.imul(hash ^ network.charCodeAt(i), 0x01000193);
    return (hash >>> 0) % groups;
  };
}
