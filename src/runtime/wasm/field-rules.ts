// Decides which fields a guest sees, and which of its writes take effect. A guest may not write fields that frame a
// message or tell who calls, nor fields that its manifest does not name.
import type { Needs } from "../../extensions/manifest.ts";
import { fieldKey, tokenCharacter } from "../../language/field-name.ts";
import { compileNameTest, messageFields, writtenForwardedFields } from "../../language/field-sets.ts";
import type { Fields } from "../../plugin-api/contract.ts";

/** What happened to a field that a guest wrote. */
export type Written =
  /** The field is as the guest wanted. */
  | "done"
  /** Plugins may not set this field. The exchange goes on without the change. */
  | "ignored"
  /** The manifest does not ask for this field: the request gets the fail mode. */
  | "refused";

const isMessageField = compileNameTest(messageFields);
/** Fields that the sidecar itself writes for the service. */
const isWrittenHere = compileNameTest([...writtenForwardedFields, "x-request-id"]);
const namePattern = new RegExp(`^(?![^]*[A-Z_])${tokenCharacter}{1,256}$`);
const valuePattern = /^[\t\x20-\x7e\x80-\xff]*$/;

export class FieldRules {
  readonly #shown: ReadonlySet<string> | undefined;
  readonly #written: ReadonlySet<string> | undefined;

  constructor({ readFields, writeFields }: Pick<Needs, "readFields" | "writeFields">) {
    this.#shown = readFields.includes("*") ? undefined : new Set(readFields.map(fieldKey));
    this.#written = writeFields.includes("*") ? undefined : new Set(writeFields.map(fieldKey));
  }

  /** @param text goes first. @returns the text, then for each field the guest sees: \x01, name, \0, value */
  textOf(text: string, fields: Fields): { text: string; count: number } {
    let all = text;
    let count = 0;
    fields.forEach((name, value) => {
      if (this.#shown?.has(name) === false) return;
      all += `\x01${name}\0${value}`;
      count += 1;
    });
    return { text: all, count };
  }

  /** @param owned undefined for a response; for a request, names of fields in which other plugins tell who calls */
  write(
    kind: string,
    fields: Fields,
    name: string,
    value: string,
    owned: ReadonlySet<string> | undefined,
  ): Written {
    if (this.#written?.has(name) === false) return "refused";
    // Filters that change a body remove its length. The sidecar sets it to fit.
    if (name === "content-length" || name === "transfer-encoding") return "done";
    if (isMessageField(name) || (owned !== undefined && (isWrittenHere(name) || owned.has(name))))
      return "ignored";
    if (!namePattern.test(name) || !valuePattern.test(value)) return "ignored";
    if (kind === "d") fields.delete(name);
    else if (kind === "a") fields.append(name, value);
    else fields.set(name, value);
    return "done";
  }

  setHost(fields: Fields, value: string): Written {
    if (this.#written?.has("host") === false) return "refused";
    fields.set("Host", value);
    return "done";
  }

  /**
   * Sets all fields at once: fields that are missing in the list are removed.
   * @param flat name, value, …, without pseudo-fields
   */
  writeAll(fields: Fields, flat: readonly string[], owned: ReadonlySet<string> | undefined): Written {
    const wanted = new Map<string, string[]>();
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const name = flat[i] as string;
      wanted.set(name, [...(wanted.get(name) ?? []), flat[i + 1] as string]);
    }
    const present = new Set<string>();
    fields.forEach((name) => void present.add(name));
    const results: Written[] = [];
    for (const name of present) {
      if (!wanted.has(name) && this.#shown?.has(name) !== false && !isMessageField(name))
        results.push(this.write("d", fields, name, "", owned));
    }
    for (const [name, values] of wanted) {
      const before = fields.getAll(name);
      if (before.length === values.length && before.every((value, index) => value === values[index]))
        continue;
      if (isMessageField(name)) continue;
      values.forEach((value, index) =>
        results.push(this.write(index === 0 ? "s" : "a", fields, name, value, owned)),
      );
    }
    if (results.includes("refused")) return "refused";
    return results.includes("ignored") ? "ignored" : "done";
  }
}

/** @returns name, value, … without fields that a guest's answer may not have */
export function answerFields(flat: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const name = flat[i] as string;
    const value = flat[i + 1] as string;
    const key = name.toLowerCase().replaceAll("_", "-");
    if (namePattern.test(key) && valuePattern.test(value) && !isMessageField(key)) kept.push(name, value);
  }
  return kept;
}
