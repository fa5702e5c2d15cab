// Edits JSON as text. Everything that is not addressed stays byte for byte (numbers of any length, spaces, order,
// duplicate names): parsing and writing values would not preserve it.
import { endOfString } from "../../src/language/json.ts";
import type { Place } from "./changes.ts";

/** Says why a body cannot be changed. The message goes to the sender of the body. */
export class CannotChange extends Error {}

const quote = 0x22;
const space = 0x20;
const comma = 0x2c;
const colon = 0x3a;

/** @param text valid JSON, already parsed once: it is not checked again here. Recurses as deep as the pointers */
export function editJson(text: string, root: Place): string {
  const start = skipSpace(text, 0);
  const end = skipValue(text, start);
  return `${text.slice(0, start)}${edit(text.slice(start, end), root)}${text.slice(end)}`;
}

/** @param json one value without space around it */
function edit(json: string, at: Place): string {
  if (json.startsWith("{")) return editObject(json, at);
  if (json.startsWith("[")) return editArray(json, at);
  if (at.adds) throw new CannotChange("has neither object nor list where a member is to be added");
  return json;
}

interface Item {
  /** Undefined for items of a list. */
  readonly name: string | undefined;
  /** Space, and the name with its colon, as written. */
  readonly before: string;
  readonly value: string;
  readonly after: string;
}

function editObject(json: string, at: Place): string {
  const items = itemsOf(json);
  const gone = namesGone(items, at);
  const kept: string[] = [];
  const found = new Set<string>();
  for (const { name = "", before, value, after } of items) {
    const child = at.children.get(name);
    if (child !== undefined) {
      if (found.has(name)) throw new CannotChange("names a member twice that is to be changed");
      found.add(name);
    }
    if (child?.isRemoved === true || (gone.has(name) && child?.renamed === undefined)) continue;
    if (child === undefined) kept.push(before, value, after, ",");
    else {
      const head = child.renamed === undefined ? before : `${JSON.stringify(child.renamed)}:`;
      kept.push(head, child.value ?? edit(value, child), after, ",");
    }
  }
  for (const [name, child] of at.children) {
    const made = found.has(name) ? undefined : madeOf(child);
    if (made !== undefined) kept.push(`${JSON.stringify(name)}:${made}`, ",");
  }
  kept.pop();
  return `{${kept.join("")}}`;
}

/** Names that renamed members take over: their old holders are removed. */
function namesGone(items: readonly Item[], at: Place): ReadonlySet<string> {
  const gone = new Set<string>();
  for (const { name = "" } of items) {
    const renamed = at.children.get(name)?.renamed;
    if (renamed !== undefined && renamed !== name) gone.add(renamed);
  }
  return gone;
}

/** The JSON to add at a place where the body has nothing; undefined = nothing. */
function madeOf({ value, adds, children }: Place): string | undefined {
  if (value !== undefined || !adds) return value;
  const members: string[] = [];
  for (const [name, child] of children) {
    if (name === "-") throw new CannotChange("has no list where an item is to be added");
    const made = madeOf(child);
    if (made !== undefined) members.push(`${JSON.stringify(name)}:${made}`);
  }
  return `{${members.join(",")}}`;
}

/** RFC 6901 section 4: items are addressed by number, and `-` is the place after the last one. */
function editArray(json: string, at: Place): string {
  const items = itemsOf(json);
  const kept: string[] = [];
  for (const [index, { before, value, after }] of items.entries()) {
    const child = at.children.get(String(index));
    if (child?.isRemoved === true) continue;
    kept.push(before, child === undefined ? value : (child.value ?? edit(value, child)), after, ",");
  }
  for (const [token, child] of at.children) {
    if (token === "-") {
      const made = madeOf(child);
      if (made !== undefined) kept.push(made, ",");
    } else if ((child.adds || child.value !== undefined) && !(isIndex(token) && Number(token) < items.length))
      throw new CannotChange("has a list without the item where a member is to be added");
  }
  kept.pop();
  return `[${kept.join("")}]`;
}

const isIndex = (token: string): boolean => /^(?:0|[1-9]\d{0,8})$/.test(token);

/** @param json an object or a list */
function itemsOf(json: string): Item[] {
  const items: Item[] = [];
  const isObject = json.startsWith("{");
  let from = 1;
  let at = skipSpace(json, from);
  while (at < json.length - 1) {
    let name: string | undefined;
    if (isObject) {
      const end = endOfString(json, at) + 1;
      const written = json.slice(at, end);
      name = written.includes("\\") ? (JSON.parse(written) as string) : written.slice(1, -1);
      at = skipSpace(json, end);
      if (json.charCodeAt(at) === colon) at = skipSpace(json, at + 1);
    }
    const end = skipValue(json, at);
    const next = skipSpace(json, end);
    items.push({
      name,
      before: json.slice(from, at),
      value: json.slice(at, end),
      after: json.slice(end, next),
    });
    if (json.charCodeAt(next) !== comma) break;
    from = next + 1;
    at = skipSpace(json, from);
  }
  return items;
}

function skipSpace(json: string, from: number): number {
  let at = from;
  while (json.charCodeAt(at) <= space) at += 1;
  return at;
}

/** @returns the position after the value that begins at `from` */
function skipValue(json: string, from: number): number {
  let depth = 0;
  for (let at = from; at < json.length; at += 1) {
    const unit = json.charCodeAt(at);
    if (unit === quote) {
      at = endOfString(json, at);
      if (depth === 0) return at + 1;
    }
    // "[" and "{", "]" and "}" differ in one bit.
    else if ((unit | 0x20) === 0x7b) depth += 1;
    else if ((unit | 0x20) === 0x7d) {
      // The end of the surrounding list or object, which also ends a number or word.
      if (depth === 0) return at;
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && (unit === comma || unit <= space)) return at;
  }
  return json.length;
}
