// Members that a plugin's definition may have, and those of its hooks: what stands in the wrong place does nothing, and
// its author takes fields for guarded that are not.
import { nearestName } from "../language/nearest.ts";
import type { Hooks, PluginDefinition } from "./contract.ts";

const ofDefinition: Record<keyof PluginDefinition, true> = {
  name: true,
  version: true,
  apiVersion: true,
  priority: true,
  security: true,
  refuses: true,
  failMode: true,
  options: true,
  needs: true,
  secrets: true,
  requestFields: true,
  secretNames: true,
  fleetOptions: true,
  cookies: true,
  lint: true,
  commands: true,
  check: true,
  init: true,
  dispose: true,
  exportState: true,
  importState: true,
  sharedState: true,
  setup: true,
};

const ofHooks: Record<keyof Hooks, true> = {
  onRequest: true,
  onResponse: true,
  onError: true,
  recheck: true,
  onComplete: true,
  timeLimitMs: true,
  ownedRequestFields: true,
  ownedQuery: true,
  ownedSubprotocols: true,
  ownedCookies: true,
  headOnlyFields: true,
  documents: true,
  health: true,
  close: true,
};

/** @returns members of hooks that a definition has, one line each: they belong into what `setup` returns */
export function misplacedMembers(definition: object): string[] {
  return Object.keys(definition)
    .filter((name) => Object.hasOwn(ofHooks, name))
    .map((name) => `${name}: belongs in what setup returns; in the definition it does nothing`);
}

/** @returns those that nobody knows, one line each */
export function unknownMembers(definition: object): string[] {
  return Object.keys(definition)
    .filter((name) => !Object.hasOwn(ofDefinition, name) && !Object.hasOwn(ofHooks, name))
    .map((name) => {
      const nearest = nearestName(name, Object.keys(ofDefinition));
      return `${name}: a definition has no such member${nearest === undefined ? "" : `, did you mean ${nearest}?`}`;
    });
}
