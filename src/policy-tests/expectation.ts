// Compares what a test expects with the outcome of its request.
import { fieldKey } from "../language/field-name.ts";
import type { Fields } from "../plugin-api/fields.ts";
import type { ExpectedFields, PolicyTest } from "../policy/document/tests-field.ts";

/** The outcome of a request. */
export interface Observed {
  /** Path of the route, as in the policy; null = no route took the request. */
  readonly route: string | null;
  /** 0 = the answer broke off before its head. */
  readonly status: number;
  readonly plugin: string | null;
  /** Why it was refused, if a plugin says so. */
  readonly because: string | undefined;
  readonly headers: Fields;
  /** undefined = the service was not asked. */
  readonly upstreamHeaders: Fields | undefined;
}

/** @returns one line for each difference */
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
    // The value is left out: it may be a credential, and this text goes to logs and to the fleet.
    if (value === null) return [`${whose} has ${name}`];
    return [got === undefined ? `${whose} has no ${name}` : `${whose} has another ${name}`];
  });
}
