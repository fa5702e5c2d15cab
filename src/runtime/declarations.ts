// Collects what the plugins of all routes of a snapshot declare about requests.
import type { Hooks, OwnedCookie } from "../plugin-api/contract.ts";
import { fieldKey } from "../language/field-name.ts";
import { type CookieStep, OwnedCookies } from "./owned-cookies.ts";

export class Declarations {
  /** Lower-case names of request fields that plugins set: removed from every client's request. */
  readonly ownedRequestFields: Set<string>;
  /** Names of fields that are never taken from a trailer. */
  readonly headOnlyFields: Set<string>;
  /** Hooks that declare query parameters or subprotocols as their own. */
  readonly owning: Hooks[] = [];
  readonly #cookieSteps: CookieStep[];

  /**
   * @param identityFields further request fields that no client may send
   * @param ownedCookies further cookies, which belong to no plugin of this snapshot
   */
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

  /** @returns undefined when no plugin owns a cookie */
  ownedCookies(): OwnedCookies | undefined {
    return OwnedCookies.of(this.#cookieSteps);
  }
}
