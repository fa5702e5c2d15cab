// Knows which environment variables are settings, and reports the unknown ones.
import { nearestName } from "../language/nearest.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** The prefix of every setting's name except `REDIS_URL` and `LOG_LEVEL`. */
export const prefix = "OUTRIGGER_";

const namedSecret = /^OUTRIGGER_SECRET_(?!HOSTS(?:_FILE)?$)[A-Z0-9_]+$/;

/** Whether the variable is a secret that a policy refers to by name. */
export function isNamedSecret(name: string): boolean {
  return namedSecret.test(name);
}

/**
 * Variables that Kubernetes sets in every container for a Service whose name begins with "outrigger" (service links):
 * `OUTRIGGER_SERVICE_HOST`, `OUTRIGGER_PORT=tcp://…` and the like. The user did not write them, so they are no typos.
 */
function isServiceLink(name: string, value: string): boolean {
  if (/_SERVICE_(HOST|PORT(_\w+)?)$/.test(name)) return true;
  if (name.endsWith("_PORT")) return /^(tcp|udp|sctp):\/\//.test(value);
  return /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name);
}

/** Reports every unknown `OUTRIGGER_*` variable, with the name that was probably meant. */
export function findUnknown(env: Environment, known: ReadonlySet<string>): string[] {
  const problems: string[] = [];
  const ends = [...known].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  for (const [name, value = ""] of Object.entries(env)) {
    if (!/^OUTRIGGER_/i.test(name) || known.has(name) || isServiceLink(name, value)) continue;
    const nearest = nearestName(name.slice(prefix.length), ends);
    const hint = nearest === undefined ? "" : `; did you mean ${prefix}${nearest}?`;
    problems.push(`${name.replace(/[^\x20-\x7e]/g, "?")}: unknown setting${hint}`);
  }
  return problems;
}

/**
 * The names of all known variables, including the `_FILE` forms and the named secrets that are set.
 * @param table the settings
 */
export function knownNames(
  env: Environment,
  table: readonly { readonly env: string; readonly secret?: true }[],
): { all: Set<string>; secrets: string[] } {
  const secrets = table.filter(({ secret }) => secret).map((row) => row.env);
  for (const name of Object.keys(env)) {
    const plain = name.replace(/_FILE$/, "");
    if (isNamedSecret(plain) && !secrets.includes(plain)) secrets.push(plain);
  }
  const all = new Set([...table.map((row) => row.env), ...secrets, ...secrets.map((name) => `${name}_FILE`)]);
  return { all, secrets };
}
