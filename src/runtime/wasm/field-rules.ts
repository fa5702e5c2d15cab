// Which fields a guest is shown, and what becomes of those that it sets: what frames a message or tells who calls is not
// a guest's to write, and neither is what its manifest does not name.
import type { Needs } from "../../extensions/manifest.ts";
import { fieldKey, tokenCharacter } from "../../language/field-name.ts";
import { compileNameTest, messageFields, writtenForwardedFields } from "../../language/field-sets.ts";
import type { Fields } from "../../plugin-api/contract.ts";

/** What became of a field that a guest wrote. */
export type Written =
  /** It is as the guest wanted. */
  | "done"
  /** It is not for plugins to say: everything else goes on. */
  | "ignored"
  /** The guest did what it did not ask for: its request gets the fail mode. */
  | "refused";

const isMessageField = compileNameTest(messageFields);
/** The sidecar's own words to the service. */
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

  /** @param text what comes before. @returns it with all that the guest is shown: a one, name, a zero, value of each */
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

  /** @param owned of a request: names of fields that other plugins say who calls by */
  write(
    kind: string,
    fields: Fields,
    name: string,
    value: string,
    owned: ReadonlySet<string> | undefined,
  ): Written {
    if (this.#written?.has(name) === false) return "refused";
    // Filters that change a body take its length away: it is set to fit.
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
   * Sets all fields at once: those that are not named any more go.
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

/** name, value, … without what an answer of a guest's cannot have. */
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
