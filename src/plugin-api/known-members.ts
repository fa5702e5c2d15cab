// Lists the members that a plugin's definition and its hooks may have. A member in the wrong place does nothing, and
// the plugin's author would believe that it guards something.
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

/** @returns one line for each hook member found in the definition: it belongs in what `setup` returns */
export function misplacedMembers(definition: object): string[] {
  return Object.keys(definition)
    .filter((name) => Object.hasOwn(ofHooks, name))
    .map((name) => `${name}: belongs in what setup returns; in the definition it does nothing`);
}

/** @returns one line for each member that neither a definition nor hooks can have */
export function unknownMembers(definition: object): string[] {
  return Object.keys(definition)
    .filter((name) => !Object.hasOwn(ofDefinition, name) && !Object.hasOwn(ofHooks, name))
    .map((name) => {
      const nearest = nearestName(name, Object.keys(ofDefinition));
      return `${name}: a definition has no such member${nearest === undefined ? "" : `, did you mean ${nearest}?`}`;
    });
}
