// Which variables of the environment count, and what is said of those that mean nothing.
import { nearestName } from "../language/nearest.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** In front of every setting's name but `REDIS_URL` and `LOG_LEVEL`. */
export const prefix = "OUTRIGGER_";

const namedSecret = /^OUTRIGGER_SECRET_(?!HOSTS(?:_FILE)?$)[A-Z0-9_]+$/;

/** Whether that variable is a secret which a policy refers to by name. */
export function isNamedSecret(name: string): boolean {
  return namedSecret.test(name);
}

/**
 * What Kubernetes puts into every container's environment for a Service whose name begins with "outrigger" (service
 * links): `OUTRIGGER_SERVICE_HOST`, `OUTRIGGER_PORT=tcp://…` and their kind. Not written by the user, so not a typo.
 */
function isServiceLink(name: string, value: string): boolean {
  if (/_SERVICE_(HOST|PORT(_\w+)?)$/.test(name)) return true;
  if (name.endsWith("_PORT")) return /^(tcp|udp|sctp):\/\//.test(value);
  return /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name);
}

/** A problem for every `OUTRIGGER_*` variable that means nothing here, with the name that was probably meant. */
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
 * Names of all variables that count, the `_FILE` forms and the named secrets that are set among them.
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
