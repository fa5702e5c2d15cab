// Reads an answer of the endpoint. It is strict: an answer that it does not understand is none, and causes a 503.
import {
  claimAt,
  type Claims,
  fieldKey,
  type HttpAnswer,
  type Identity,
  parseJson,
} from "../../src/plugin-api/contract.ts";
import type { ExtAuthOptions } from "./options.ts";

export interface Allowed {
  readonly kind: "allowed";
  /** name, value, name, value … */
  readonly fields: readonly string[];
  readonly identity: Identity | undefined;
}
export interface Refused {
  readonly kind: "refused";
  readonly status: 401 | 403 | 404;
}
export type Answer = Allowed | Refused;

/** The answer cannot be used. The message says why, and quotes none of the answer's text. */
class UnusableAnswer extends Error {
  override readonly name = "UnusableAnswer";
}

export const maxAnswerBytes = 65_536;
/** Limit for all fields that one answer sets, as answers stay in memory. */
const maxFieldBytes = 4_096;

/** A field value (RFC 9110 section 5.5), in ASCII only. */
const fieldValue = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;
const identityText = /^\P{Cc}{1,256}$/u;

/** Reads the value at a place of an answer: a field name, or a path into the result. */
type Look = (place: string) => unknown;

export function compileAnswer(options: ExtAuthOptions): (answer: HttpAnswer) => Answer {
  const read = options.protocol === "opa" ? readResult : readStatus;
  return (answer) => read(answer, options);
}

const isDeclared = (status: unknown, { statuses }: ExtAuthOptions): status is Refused["status"] =>
  (statuses as readonly unknown[]).includes(status);

function readStatus(answer: HttpAnswer, options: ExtAuthOptions): Answer {
  const { status, fields } = answer;
  if (isDeclared(status, options)) return { kind: "refused", status };
  if (status < 200 || status > 299) throw new UnusableAnswer(`status ${status}`);
  return allowed(
    options,
    (name) => fields.get(name),
    (place) => fields.get(place.toLowerCase()),
  );
}

function readResult({ status, body }: HttpAnswer, options: ExtAuthOptions): Answer {
  if (status !== 200) throw new UnusableAnswer(`status ${status}`);
  const { result } = Object(parse(body)) as { result?: unknown };
  if (result === undefined)
    throw new UnusableAnswer("no result: no rule of that path, or one without a default");
  if (result === true)
    return allowed(
      options,
      () => undefined,
      () => undefined,
    );
  if (result === false) return refusal(undefined, options);
  if (typeof result !== "object" || result === null)
    throw new UnusableAnswer("result is no boolean or object");
  const members = result as Claims;
  if (members["allow"] === false) return refusal(members["status"], options);
  if (members["allow"] !== true) throw new UnusableAnswer("result.allow is no boolean");
  const headers = Object.entries(Object(members["headers"] ?? {}) as object);
  const byName = new Map(headers.map(([name, value]) => [fieldKey(name), value as unknown]));
  return allowed(
    options,
    (name) => byName.get(name),
    (place) => claimAt(members, place),
  );
}

function parse(body: Buffer): unknown {
  try {
    return parseJson(body.toString());
  } catch (error) {
    throw new UnusableAnswer((error as SyntaxError).message);
  }
}

/** The caller is refused in any case. The endpoint chooses the status only among those that the policy lists. */
function refusal(status: unknown, options: ExtAuthOptions): Refused {
  if (isDeclared(status, options)) return { kind: "refused", status };
  return { kind: "refused", status: isDeclared(403, options) ? 403 : (options.statuses[0] as 401 | 404) };
}

function allowed(options: ExtAuthOptions, field: Look, look: Look): Allowed {
  const fields: string[] = [];
  let bytes = 0;
  for (const name of options.fields) {
    const value = field(fieldKey(name));
    if (value === undefined) continue;
    if (typeof value !== "string" || !fieldValue.test(value))
      throw new UnusableAnswer(`the field ${name} is no printable text`);
    bytes += value.length;
    fields.push(name, value);
  }
  if (bytes > maxFieldBytes) throw new UnusableAnswer(`fields of more than ${maxFieldBytes} bytes`);
  return { kind: "allowed", fields, identity: identityOf(options, look) };
}

function identityOf({ identity: places, url }: ExtAuthOptions, look: Look): Identity | undefined {
  if (places === undefined) return undefined;
  const userId = text(look(places.userId), "userId");
  if (userId === undefined) return undefined;
  return {
    userId,
    issuer: url,
    plan: places.plan === undefined ? undefined : text(look(places.plan), "plan"),
    scopes: words(places.scopes, look, "scopes"),
    roles: words(places.roles, look, "roles"),
    method: "ext-auth",
    credentialId: undefined,
    claims: {},
  };
}

function text(value: unknown, what: string): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string" && identityText.test(value)) return value;
  throw new UnusableAnswer(`${what} is no text of up to 256 characters`);
}

function words(place: string | undefined, look: Look, what: string): readonly string[] {
  const value = place === undefined ? undefined : look(place);
  if (value === undefined || value === null) return [];
  const list: unknown[] =
    typeof value === "string" ? value.split(/[ ,]+/).filter((each) => each !== "") : [value].flat();
  if (list.length > 256) throw new UnusableAnswer(`${what} are more than 256`);
  if (!list.every((each) => typeof each === "string" && identityText.test(each)))
    throw new UnusableAnswer(`${what} are no texts`);
  return list as string[];
}
