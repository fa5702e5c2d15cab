// What the plugins of a snapshot declare of requests, over all its routes.
import type { Hooks, OwnedCookie } from "../plugin-api/contract.ts";
import { fieldKey } from "../language/field-name.ts";
import { type CookieStep, OwnedCookies } from "./owned-cookies.ts";

export class Declarations {
  /** Lower-case names of request fields that plugins set: removed from every client's request. */
  readonly ownedRequestFields: Set<string>;
  /** Names of fields that no trailer brings. */
  readonly headOnlyFields: Set<string>;
  /** Hooks that own parts of requests. */
  readonly owning: Hooks[] = [];
  readonly #cookieSteps: CookieStep[];

  /** @param ownedCookies further ones, which no plugin here has */
  constructor(identityFields: ReadonlySet<string>, ownedCookies: readonly OwnedCookie[]) {
    this.ownedRequestFields = new Set(identityFields);
    this.headOnlyFields = new Set(identityFields);
    this.#cookieSteps = [{ name: "", hooks: { ownedCookies } }];
  }

  add(steps: readonly CookieStep[]): void {
    for (const step of steps) {
      const { ownedRequestFields, headOnlyFields, ownedCookies, ownedQuery, ownedSubprotocols } = step.hooks;
      for (const name of ownedRequestFields ?? []) this.ownedRequestFields.add(fieldKey(name));
      for (const name of headOnlyFields ?? []) this.headOnlyFields.add(name);
      if (ownedCookies !== undefined) this.#cookieSteps.push(step);
      if (ownedQuery !== undefined || ownedSubprotocols !== undefined) this.owning.push(step.hooks);
    }
  }

  /** undefined = no plugin has any. */
  ownedCookies(): OwnedCookies | undefined {
    return OwnedCookies.of(this.#cookieSteps);
  }
}
