// Decides which header fields an extension sees and may change. The manifest lists the fields. An extension may never
// write fields that frame messages, or in which the sidecar or another plugin tells the service who calls.
import type { Needs } from "../extensions/manifest.ts";
import { fieldKey, tokenCharacter } from "../language/field-name.ts";
import {
  isClientsField,
  isForwardedField,
  messageFields,
  writtenForwardedFields,
} from "../language/field-sets.ts";
import type { Fields } from "../plugin-api/fields.ts";

export type MessageSide = "request" | "response";

const framing = new Set(messageFields);
const forwarded = new Set(writtenForwardedFields);
const token = new RegExp(`^${tokenCharacter}{1,128}$`);
// oxlint-disable-next-line no-control-regex
const outsideValue = /[^\t\x20-\x7e\x80-\xff]/;
const maxValueLength = 16_384;
/**
 * How many field names have a remembered verdict. The bound is needed because a plugin may invent any number of names.
 */
const maxRemembered = 256;

export class ExtensionFields {
  readonly #read: ReadonlySet<string> | undefined;
  readonly #write: ReadonlySet<string> | undefined;
  readonly #others: ReadonlySet<string>;
  readonly #own: ReadonlySet<string>;
  readonly #problems = { request: new Map<string, string>(), response: new Map<string, string>() };

  /**
   * @param others fields that the plugins of the policy set; complete once the policy is in force
   * @param own those of `others` that belong to this plugin
   */
  constructor(
    { readFields, writeFields }: Pick<Needs, "readFields" | "writeFields">,
    others: ReadonlySet<string> = new Set(),
    own: ReadonlySet<string> = new Set(),
  ) {
    this.#read = readFields.includes("*") ? undefined : new Set(readFields.map(fieldKey));
    this.#write = writeFields.includes("*") ? undefined : new Set(writeFields.map(fieldKey));
    this.#others = others;
    this.#own = own;
  }

  /** @returns name, value, name, value … of the fields it may see. Do not modify the array */
  shown(fields: Fields): readonly string[] {
    const read = this.#read;
    if (read === undefined) return fields.toFlat();
    const shown: string[] = [];
    fields.forEach((lowerName, value, name) => {
      if (read.has(lowerName)) shown.push(name, value);
    });
    return shown;
  }

  /** @returns why the plugin may not set, add or remove the field; undefined = it may */
  problem(side: MessageSide, name: string, value: string): string | undefined {
    const named = this.#problemOfName(side, name);
    if (named !== "") return `the field "${name.slice(0, 128)}", ${named}`;
    if (value.length > maxValueLength || outsideValue.test(value))
      return `the field "${name}" to what is no field value`;
    return undefined;
  }

  /**
   * @returns why a request field cannot become the plugin's own, that is, be removed from every client's request on all
   * routes; undefined = it can
   * @param secretNames fields in which plugins of the policy look for credentials
   */
  ownProblem(name: string, secretNames: ReadonlySet<string>): string | undefined {
    const key = fieldKey(name);
    const field = `the field "${name.slice(0, 128)}"`;
    if (isClientsField(key) || isForwardedField(key))
      return `${field}, which is the client's: no client could send it any more, on any route`;
    for (const secret of secretNames)
      if (fieldKey(secret) === key) return `${field}, in which a plugin of this policy looks for credentials`;
    return this.problem("request", name, "");
  }

  #problemOfName(side: MessageSide, name: string): string {
    const known = this.#problems[side];
    let problem = known.get(name);
    if (problem === undefined) {
      problem = this.#judge(side, name);
      if (known.size < maxRemembered) known.set(name, problem);
    }
    return problem;
  }

  #judge(side: MessageSide, name: string): string {
    if (!token.test(name)) return "which is no field name";
    const key = fieldKey(name);
    if (framing.has(key)) return "which frames the message or belongs to the connection";
    if (this.#write?.has(key) === false) return "which its manifest does not ask for (needs.writeFields)";
    if (side === "response") return "";
    if (forwarded.has(key) || key === "x-request-id") return "which the sidecar writes";
    if (this.#others.has(key) && !this.#own.has(key)) return "which another plugin of this policy sets";
    return "";
  }
}
