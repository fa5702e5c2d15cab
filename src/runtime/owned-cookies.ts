// Protects the cookies that plugins keep for themselves. On every route they are hidden from the service. No service
// sets them, unless the plugin allows it (`fromService`).
import type { Hooks, OwnedCookie } from "../plugin-api/contract.ts";
import type { Fields } from "../plugin-api/fields.ts";

/** More than a sensible policy has. The bound keeps the 431 response itself from growing too large. */
const maxExpiries = 32;

const none: readonly string[] = [];

export interface CookieStep {
  readonly name: string;
  readonly hooks: Hooks;
}

export class OwnedCookies {
  /** `Set-Cookie` values that expire the cookies which may have made a request head too large. */
  readonly expiries: readonly string[];
  readonly #names: ReadonlySet<string>;
  readonly #ours: ReadonlySet<string>;

  readonly #owners: ReadonlySet<string>;

  private constructor(cookies: readonly OwnedCookie[], owners: readonly string[]) {
    this.#owners = new Set(owners);
    this.#names = new Set(cookies.map(({ name }) => name));
    this.#ours = new Set(cookies.flatMap(({ name, fromService }) => (fromService ? [] : [name])));
    const expiries = cookies.flatMap(({ expiry }) => (expiry === undefined ? [] : [expiry]));
    this.expiries = [...new Set(expiries)].slice(0, maxExpiries);
  }

  /** @returns undefined when no plugin owns a cookie, so that requests need no check */
  static of(steps: readonly CookieStep[]): OwnedCookies | undefined {
    const cookies = steps.flatMap(({ hooks }) => [...(hooks.ownedCookies ?? [])]);
    const owners = steps.filter(({ hooks }) => (hooks.ownedCookies ?? []).length > 0);
    return cookies.length === 0
      ? undefined
      : new OwnedCookies(
          cookies,
          owners.map(({ name }) => name),
        );
  }

  /** Whether the plugin owns cookies, and so may set them. */
  isOwner(plugin: string): boolean {
    return this.#owners.has(plugin);
  }

  /**
   * Removes owned cookies from a request, and pairs in which a service that splits at commas, too, would find one
   * (RFC 2965 section 3.3.4). Nobody can tell whose such a pair is.
   * @returns their pairs joined by "; " (RFC 6265 section 4.2.1), or undefined
   */
  take(fields: Fields): string | undefined {
    const header = fields.get("cookie");
    if (header === undefined) return undefined;
    const taken: string[] = [];
    const kept: string[] = [];
    for (const part of header.split(";")) {
      const pair = part.trim();
      const isOurs = this.#names.has(nameOf(pair)) || (pair.includes(",") && this.#isBehindComma(pair));
      (isOurs ? taken : kept).push(pair);
    }
    if (taken.length === 0) return undefined;
    if (kept.length === 0) fields.delete("cookie");
    else fields.set("Cookie", kept.join("; "));
    return taken.join("; ");
  }

  #isBehindComma(pair: string): boolean {
    return pair.split(",").some((part, index) => index > 0 && this.#names.has(nameOf(part.trim())));
  }

  /** @returns the `Set-Cookie` values in the fields */
  setIn(fields: Fields): readonly string[] {
    return fields.has("set-cookie") ? fields.getAll("set-cookie") : none;
  }

  /**
   * Drops each `Set-Cookie` of an owned cookie that a service, or a plugin that owns no cookie, would set.
   * @param but values to keep, because they were there before
   */
  dropFrom(fields: Fields, but: readonly string[] = none): void {
    if (this.#ours.size === 0 || !fields.has("set-cookie")) return;
    const lines = fields.getAll("set-cookie");
    const kept = lines.filter((line) => !this.#ours.has(setNameOf(line)) || but.includes(line));
    if (kept.length === lines.length) return;
    fields.delete("set-cookie");
    for (const line of kept) fields.append("Set-Cookie", line);
  }
}

function nameOf(pair: string): string {
  const equals = pair.indexOf("=");
  return equals === -1 ? "" : pair.slice(0, equals).trim();
}

/** A browser returns a nameless cookie (`=a=b`) as `a=b`, so the name that counts is the one the browser will send. */
function setNameOf(line: string): string {
  const [pair = ""] = line.split(";", 1);
  return nameOf(pair.trim().replace(/^=\s*/, ""));
}
