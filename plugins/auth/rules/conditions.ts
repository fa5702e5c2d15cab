// Compiles the conditions of rules into named tests.
import { claimAt } from "../../../src/language/claim-path.ts";
import { compileNetworks } from "../../../src/language/network.ts";
import type { Exchange, Identity } from "../../../src/plugin-api/contract.ts";
import { claimHolds } from "../claims.ts";
import type { ConditionOptions } from "./options.ts";

/** What a rule is checked against. */
export interface Subject {
  readonly exchange: Exchange;
  readonly identity: Identity | undefined;
  /** Ids of the client certificate, whichever credential gave the identity. */
  readonly certificateIds: readonly string[];
}

export interface NamedTest {
  readonly name: string;
  holds(subject: Subject): boolean;
}

/** All tests must hold. An empty list is any known caller. */
export type Condition = readonly NamedTest[];

type Membership = NonNullable<ConditionOptions["scopes"]>;
type ClaimTest = NonNullable<ConditionOptions["claims"]>[string];

function fits(has: readonly string[], { any, all }: Membership): boolean {
  if (all !== undefined && !all.every((name) => has.includes(name))) return false;
  return any === undefined || any.some((name) => has.includes(name));
}

function claimMatcher(test: ClaimTest): (value: unknown) => boolean {
  const { equals, oneOf, prefix } = test;
  if (equals !== undefined) return (value) => value === equals;
  if (oneOf !== undefined) return (value) => (oneOf as readonly unknown[]).includes(value);
  return (value) => typeof value === "string" && value.startsWith(prefix as string);
}

/** A URI has a colon and a DNS name has none, so that neither passes for the other. */
function hasPrefix(id: string, prefix: string): boolean {
  return id.startsWith(prefix) && (prefix === "" || prefix.includes(":") === id.includes(":"));
}

/**
 * @param patterns ids. A trailing * makes a prefix: of URIs if it has a colon, else of DNS names; a * alone, of both.
 */
export function compileIds(patterns: readonly string[]): (id: string) => boolean {
  const exact = new Set(patterns.filter((pattern) => !pattern.endsWith("*")));
  const prefixes = patterns.filter((pattern) => pattern.endsWith("*")).map((pattern) => pattern.slice(0, -1));
  return (id) => exact.has(id) || prefixes.some((prefix) => hasPrefix(id, prefix));
}

/** Compiles the tests in a fixed order, whatever the order in the policy. The first that fails is the one reported. */
export function compileCondition(options: ConditionOptions): Condition {
  const { scopes, roles, plan, claims, certificate, client } = options;
  const tests: NamedTest[] = [];
  const add = (name: string, holds: NamedTest["holds"]): void => void tests.push({ name, holds });
  if (client !== undefined) {
    const inRange = compileNetworks(client.cidrs);
    add("client", ({ exchange }) => inRange(exchange.client.address));
  }
  if (certificate !== undefined) {
    const matches = compileIds(certificate.any);
    add("certificate", ({ certificateIds }) => certificateIds.some(matches));
  }
  if (plan !== undefined) {
    add("plan", ({ identity }) => identity?.plan !== undefined && plan.any.includes(identity.plan));
  }
  if (scopes !== undefined) {
    add("scopes", ({ identity }) => identity !== undefined && fits(identity.scopes, scopes));
  }
  if (roles !== undefined) {
    add("roles", ({ identity }) => identity !== undefined && fits(identity.roles, roles));
  }
  for (const [path, test] of Object.entries(claims ?? {})) {
    const matches = claimMatcher(test);
    add(`claim ${path}`, ({ identity }) => {
      return identity !== undefined && claimHolds(claimAt(identity.claims, path), matches);
    });
  }
  return tests;
}

/** Whether all tests of at least one condition hold. */
export function anyHolds(conditions: readonly Condition[], subject: Subject): boolean {
  return conditions.some((tests) => tests.every((test) => test.holds(subject)));
}

/**
 * @returns undefined when one of the conditions holds, else the name of the first failing test of the first condition
 */
export function firstFailure(conditions: readonly Condition[], subject: Subject): string | undefined {
  let first: string | undefined;
  for (const tests of conditions) {
    const failed = tests.find((test) => !test.holds(subject));
    if (failed === undefined) return undefined;
    first ??= failed.name;
  }
  return first;
}
