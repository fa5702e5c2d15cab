// Notes what a replayed request is asked for that its line does not say: an answer that depends on it is unknown.
import { Fields, type Identity } from "../plugin-api/contract.ts";
import type { LiveRecord } from "../runtime/live-record.ts";
import type { RecordedRequest } from "./recorded-request.ts";

/** Names by plugin. What is asked for while a hook runs belongs to the hook's plugin. */
export class Lacking implements LiveRecord {
  readonly isWhole = true;
  /** An array, since most hooks ask for nothing, and few ask twice for the same. */
  #asked: string[] = [];
  readonly #byPlugin: { readonly plugin: string; readonly names: readonly string[] }[] = [];

  note(what: string): void {
    this.#asked.push(what);
  }

  hookRan(plugin: string): void {
    if (this.#asked.length === 0) return;
    this.#byPlugin.push({ plugin, names: this.#asked });
    this.#asked = [];
  }

  of(plugin: string): readonly string[] {
    const names = this.#byPlugin.flatMap((each) => (each.plugin === plugin ? each.names : []));
    return [...new Set(names)].toSorted();
  }

  hookTimes(): readonly never[] {
    return [];
  }
  fieldChanged(): void {}
  explain(): void {}
  asked(): void {}
  ended(): void {}
}

/** Fields of a request, of which its line has only some. */
export class RecordedFields extends Fields {
  readonly #lacking: Lacking;
  /**
   * Fields that a line always has if the request did. `via` is read by the sidecar itself, to find loops, before any
   * plugin.
   */
  static readonly #told = new Set(["host", "user-agent", "x-request-id", "content-length", "via"]);

  constructor(fields: Fields, lacking: Lacking) {
    super(fields.toFlat());
    this.#lacking = lacking;
  }

  override has(lowerName: string): boolean {
    return super.has(lowerName) || this.#lacks(lowerName, false);
  }

  override get(lowerName: string): string | undefined {
    return super.get(lowerName) ?? this.#lacks(lowerName, undefined);
  }

  override getAll(lowerName: string): string[] {
    const values = super.getAll(lowerName);
    return values.length === 0 ? this.#lacks(lowerName, values) : values;
  }

  #lacks<Nothing>(lowerName: string, nothing: Nothing): Nothing {
    if (!RecordedFields.#told.has(lowerName)) this.#lacking.note(`field ${lowerName}`);
    return nothing;
  }
}

/** @returns the caller, as far as the line describes it; undefined = unknown */
export function recordedIdentity(
  { userId, credentialId }: RecordedRequest,
  lacking: () => Lacking,
): Identity | undefined {
  if (userId === undefined) return undefined;
  const unknown = <Value>(what: string, value: Value): Value => {
    lacking().note(what);
    return value;
  };
  return {
    userId,
    credentialId,
    method: "recorded",
    // Not recorded: users of two issuers with the same id count as one here.
    issuer: undefined,
    get plan() {
      return unknown("plan", undefined);
    },
    get scopes() {
      return unknown("scopes", []);
    },
    get roles() {
      return unknown("roles", []);
    },
    get claims() {
      return unknown("claims", {});
    },
  };
}
