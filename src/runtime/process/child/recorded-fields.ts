// Records the changes that a plugin makes to fields. The changes go back to the sidecar, which may refuse them.
import { type FieldLine, Fields } from "../../../plugin-api/fields.ts";

export class RecordedFields extends Fields {
  #edits: string[] = [];

  /** @returns the changes since the last call: op, name, value …; null = none */
  takeEdits(): readonly string[] | null {
    if (this.#edits.length === 0) return null;
    const edits = this.#edits;
    this.#edits = [];
    return edits;
  }

  override set(name: string, value: string): void {
    super.set(name, value);
    this.#edits.push("set", name, value);
  }

  override append(name: string, value: string): void {
    super.append(name, value);
    this.#edits.push("append", name, value);
  }

  override appendMissing(lines: readonly FieldLine[]): void {
    for (const { name, value, lower } of lines) if (!this.has(lower)) this.append(name, value);
  }

  override delete(lowerName: string): void {
    super.delete(lowerName);
    this.#edits.push("delete", lowerName, "");
  }

  override deleteWhere(matches: (lowerName: string) => boolean): void {
    const names = new Set<string>();
    this.forEach((lowerName) => {
      if (matches(lowerName)) names.add(lowerName);
    });
    for (const name of names) this.delete(name);
  }
}
