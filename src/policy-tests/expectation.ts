// What a test expects, held against what became of its request.
import { fieldKey } from "../language/field-name.ts";
import type { Fields } from "../plugin-api/fields.ts";
import type { ExpectedFields, PolicyTest } from "../policy/document/tests-field.ts";

/** What became of a request. */
export interface Observed {
  /** Path of the route, as the policy has it; null = none took it. */
  readonly route: string | null;
  /** 0 = the answer broke off before its head. */
  readonly status: number;
  readonly plugin: string | null;
  /** Why it was refused, where a plugin says so. */
  readonly because: string | undefined;
  readonly headers: Fields;
  /** undefined = the service was not asked. */
  readonly upstreamHeaders: Fields | undefined;
}

/** @returns what is not as expected, a line each */
export function shortcomings(expect: PolicyTest["expect"], observed: Observed): readonly string[] {
  const { route, status, plugin, headers = {}, upstreamHeaders = {} } = expect;
  const found: string[] = [];
  if (route !== undefined && route !== observed.route)
    found.push(`the route is ${nameOf(observed.route)}, not ${nameOf(route)}`);
  if (status !== undefined && status !== observed.status)
    found.push(`the status is ${observed.status}, not ${status}`);
  if (plugin !== undefined && plugin !== observed.plugin)
    found.push(`it is answered by ${answererOf(observed.plugin)}, not by ${answererOf(plugin)}`);
  found.push(...fieldsApart("the answer", headers, observed.headers));
  const { upstreamHeaders: sent } = observed;
  if (sent !== undefined) found.push(...fieldsApart("the service's request", upstreamHeaders, sent));
  else if (Object.values(upstreamHeaders).some((value) => value !== null))
    found.push("the service is not asked");
  const { because } = observed;
  if (found.length > 0 && because !== undefined) found.push(`refused because: ${because}`);
  return found;
}

const nameOf = (route: string | null): string => route ?? "none";
const answererOf = (plugin: string | null): string => plugin ?? "no plugin";

function fieldsApart(whose: string, expected: ExpectedFields, fields: Fields): string[] {
  return Object.entries(expected).flatMap(([name, value]) => {
    const got = fields.get(fieldKey(name));
    if ((got ?? null) === value) return [];
    // What it holds may be a credential, and this goes to logs and the fleet.
    if (value === null) return [`${whose} has ${name}`];
    return [got === undefined ? `${whose} has no ${name}` : `${whose} has another ${name}`];
  });
}
