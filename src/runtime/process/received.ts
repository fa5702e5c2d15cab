// Reads what a plugin's process sends. The plugin's code may have sent it, so nothing is trusted before it is checked.
// The result of JSON.parse is plain data; it is read element by element and never merged into an object of the sidecar.
import { hookNames } from "../../plugin-api/hook-names.ts";
import { type ErrorCode, errorKinds, GatewayError, isFlat } from "../../plugin-api/errors.ts";
import { fieldName } from "../../language/field-name.ts";
import { deepestNesting } from "../../language/json.ts";
import type { RespondVerdict } from "../../plugin-api/exchange.ts";
import { isFinalStatus } from "../verdict.ts";
import type { Declared, HookName } from "./protocol.ts";

/** A message does not follow the protocol. The plugin is at fault. */
export class Unreadable extends Error {
  override readonly name = "Unreadable";
}

export function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Unreadable(`${what} is no list`);
  return value;
}

export function text(value: unknown, what: string, maxLength = 8_192): string {
  if (typeof value !== "string") throw new Unreadable(`${what} is no text`);
  if (value.length > maxLength) throw new Unreadable(`${what} is longer than ${maxLength} characters`);
  return value;
}

/** Reads text for people and cuts it to `maxLength` characters. */
export function shortened(value: unknown, what: string, maxLength: number): string {
  if (typeof value !== "string") throw new Unreadable(`${what} is no text`);
  return value.slice(0, maxLength);
}

export function count(value: unknown, what: string): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new Unreadable(`${what} is no count`);
  return value;
}

export function optionalCount(value: unknown): number | undefined {
  return value === undefined || value === null ? undefined : count(value, "a number");
}

/** Reads an object whose values are texts. */
export function pairs(value: unknown, what: string): Record<string, string> {
  const found = Object.create(null) as Record<string, string>;
  for (const [name, each] of Object.entries(Object(value) as object)) found[name] = text(each, what, 16_384);
  return found;
}

export function texts(value: unknown, what: string, maxCount: number): string[] {
  const found = list(value, what);
  if (found.length > maxCount) throw new Unreadable(`${what} has more than ${maxCount} entries`);
  return found.map((each) => text(each, what));
}

/** @returns name, value, … */
function flat(value: unknown, what: string): readonly string[] {
  if (!isFlat(value) || value.length > 512) throw new Unreadable(`${what} is no name-value list`);
  return value;
}

/** Checks the depth of data that is serialized again: JSON.stringify recurses, JSON.parse does not. */
export function shallow<Value>(value: Value, what: string): Value {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > deepestNesting)
      throw new Unreadable(`${what} are nested deeper than ${deepestNesting} levels`);
    level = level.flatMap((each) => (typeof each === "object" && each !== null ? Object.values(each) : []));
  }
  return value;
}

function body(value: unknown, blobs: readonly Buffer[], maxBytes: number): string | Buffer | undefined {
  if (value === null || value === undefined) return undefined;
  const content = typeof value === "number" ? blobs[value] : value;
  if (typeof content !== "string" && !Buffer.isBuffer(content)) throw new Unreadable("a body is none");
  if (Buffer.byteLength(content) > maxBytes)
    throw new Unreadable(`a body is longer than ${maxBytes} bytes (limits.responseBytes)`);
  return content;
}

export function error(value: unknown): GatewayError {
  const [code, detail, fields, type, members] = list(value, "an error");
  const known = text(code, "the code of an error");
  if (!Object.hasOwn(errorKinds, known)) throw new Unreadable("an error has a code that is not known");
  if (typeof members !== "object" || members === null || Array.isArray(members))
    throw new Unreadable("the members of an error are none");
  return new GatewayError(known as ErrorCode, text(detail, "the detail of an error", 1_000), {
    fields: flat(fields, "the fields of an error"),
    type: text(type, "the type of an error", 1_000),
    members: shallow(members, "the members of an error") as Record<string, unknown>,
  });
}

export type ReadVerdict = RespondVerdict | { readonly action: "reject"; readonly error: GatewayError };

export function verdict(value: unknown, blobs: readonly Buffer[], maxBytes: number): ReadVerdict | undefined {
  if (value === null) return undefined;
  const [action, first, fields, content] = list(value, "a verdict");
  if (action === "reject") return { action, error: error(first) };
  if (action !== "respond") throw new Unreadable("a hook returned neither a respond nor a reject");
  const status = finalStatus(first, "the status of a respond");
  const given = body(content, blobs, maxBytes);
  return {
    action,
    status,
    fields: fields === null ? [] : flat(fields, "the fields of a respond"),
    ...(given === undefined ? {} : { body: given }),
  };
}

function finalStatus(value: unknown, what: string): number {
  if (typeof value !== "number" || !isFinalStatus(value)) throw new Unreadable(`${what} is none`);
  return value;
}

const knownHooks: ReadonlySet<unknown> = new Set<HookName>(hookNames);

export function declared(value: unknown): Declared {
  const { hooks, ownedRequestFields, headOnlyFields } = Object(value) as Record<string, unknown>;
  const names = texts(hooks, "the list of hooks", 16);
  if (!names.every((name) => knownHooks.has(name))) throw new Unreadable("a hook is not known");
  return {
    hooks: [...new Set(names)] as HookName[],
    ownedRequestFields: fieldNames(ownedRequestFields, "ownedRequestFields"),
    headOnlyFields: fieldNames(headOnlyFields, "headOnlyFields"),
  };
}

function fieldNames(value: unknown, what: string): string[] {
  return texts(value, what, 64).map((name) => {
    const read = fieldName.safeParse(name);
    if (!read.success) throw new Unreadable(`${what} has what is no field name`);
    return read.data;
  });
}

export interface ReadChanges {
  readonly request: readonly string[];
  readonly response: readonly string[];
  readonly status: number | undefined;
  readonly body: string | Buffer | undefined;
  readonly responseIsPersonal: boolean;
  readonly refusedBecause: string | undefined;
}

export function changes(value: unknown, blobs: readonly Buffer[], maxBytes: number): ReadChanges {
  const [request, response, status, content, isPersonal, because] = list(value, "changes");
  return {
    request: edits(request),
    response: edits(response),
    status: status === null ? undefined : finalStatus(status, "the status of a response"),
    body: body(content, blobs, maxBytes),
    responseIsPersonal: isPersonal === true,
    refusedBecause: because === null ? undefined : shortened(because, "refusedBecause", 200),
  };
}

const none: readonly string[] = [];
const operations: ReadonlySet<unknown> = new Set(["set", "append", "delete"]);

/** @returns op, name, value, … */
function edits(value: unknown): readonly string[] {
  if (value === null) return none;
  const found = list(value, "changes of fields");
  if (found.length % 3 !== 0 || found.length > 1_536) throw new Unreadable("changes of fields are none");
  for (let i = 0; i < found.length; i += 1) {
    const each = found[i];
    if (typeof each !== "string" || (i % 3 === 0 && !operations.has(each)))
      throw new Unreadable("changes of fields are none");
  }
  return found as string[];
}
