// Builds the nftables rules that send a service's connections through its sidecar: one table per service. They are JSON
// (libnftables-json(5)), so no name or number is ever parsed as a word of nft's language.

export interface Interception {
  readonly service: string;
  /** The service's port, to which clients connect. */
  readonly port: number;
  /** The sidecar's port. */
  readonly toPort: number;
  readonly egress?: EgressInterception;
}

/** Interception of the service's own outbound calls. */
export interface EgressInterception {
  /** Destination ports of the calls, ascending. */
  readonly ports: readonly number[];
  /** The port of the sidecar's egress listener. */
  readonly toPort: number;
  readonly users:
    | { readonly allBut: number }
    /** For a host, where calls of other users are not the service's. */
    | { readonly only: number };
}

type Json = null | number | string | boolean | readonly Json[] | { readonly [name: string]: Json };

const family = "inet";
const prefix = "outrigger-";
/**
 * Before routing, one step ahead of destination NAT (-100), where Docker and others redirect published ports to
 * containers: the first rule that redirects a connection wins.
 */
const beforeDstnat = -101;
const filter = 0;

/**
 * An address on loopback where nothing listens. With the rules in force, a connection to it at the service's port fails
 * with EHOSTUNREACH. This shows that the rules exist to processes that may not list them.
 */
export const probeAddress = "127.0.79.82";

export const tableName = (service: string): string => `${prefix}${service}`;
/** @returns undefined for a table that is not Outrigger's */
export function serviceOfTable(table: string): string | undefined {
  const service = table.slice(prefix.length);
  return table.startsWith(prefix) && /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(service) ? service : undefined;
}

const match = (op: "==" | "!=", left: Json, right: Json): Json => ({ match: { op, left, right } });
const notLoopback = (key: "iifname" | "oifname"): Json => match("!=", { meta: { key } }, "lo");
const counter: Json = { counter: null };
const reset: Json = { reject: { type: "tcp reset" } };
const redirect = (port: number): Json => ({ redirect: { port } });

function toPorts(ports: readonly number[]): Json {
  const [only] = ports;
  const right = ports.length === 1 && only !== undefined ? only : { set: ports };
  return match("==", { payload: { protocol: "tcp", field: "dport" } }, right);
}

function ofUsers(users: EgressInterception["users"]): Json {
  const left = { meta: { key: "skuid" } };
  return "only" in users ? match("==", left, users.only) : match("!=", left, users.allBut);
}

/** Traffic that is only forwarded to other machines is not for the service. */
const toThisMachine = match("==", { fib: { result: "type", flags: ["daddr"] } }, "local");
const probed = (port: number): Json[] => [
  match("==", { payload: { protocol: "ip", field: "daddr" } }, probeAddress),
  toPorts([port]),
  { reject: { type: "icmp", expr: "admin-prohibited" } },
];

export interface Chain {
  readonly name: string;
  readonly type: "nat" | "filter";
  readonly hook: "prerouting" | "input" | "output";
  readonly prio: number;
  /** Each rule as a list of expressions. */
  readonly rules: readonly Json[];
}

/**
 * Loopback is not redirected: it is the sidecar's way to the service. A connection that still arrives at the service's
 * port after NAT is older than the rules, or bypassed connection tracking. It is reset, or it would go on unguarded.
 */
export function chainsOf({ port, toPort, egress }: Interception): readonly Chain[] {
  const outer = notLoopback("iifname");
  const inbound: Chain[] = [
    {
      name: "inbound",
      type: "nat",
      hook: "prerouting",
      prio: beforeDstnat,
      rules: [[outer, toThisMachine, toPorts([port]), counter, redirect(toPort)]],
    },
    {
      name: "inbound_rest",
      type: "filter",
      hook: "input",
      prio: filter,
      // In the chain that closes the port: a `flush` that opens the port also removes the answer to the probe.
      rules: [[outer, toPorts([port]), counter, reset], probed(port)],
    },
  ];
  if (egress === undefined) return inbound;
  const own = [notLoopback("oifname"), ofUsers(egress.users), toPorts(egress.ports), counter];
  const rules = [[...own, redirect(egress.toPort)]];
  const rest = [[...own, reset]];
  return [
    ...inbound,
    { name: "outbound", type: "nat", hook: "output", prio: beforeDstnat, rules },
    { name: "outbound_rest", type: "filter", hook: "output", prio: filter, rules: rest },
  ];
}

const command = (name: "add" | "delete", what: string, value: Json): Json => ({ [name]: { [what]: value } });

/** One transaction that removes the table. */
export function removal(service: string): object {
  return { nftables: emptied(service) };
}

/** nft has no "delete if it exists", so the table is added first. */
function emptied(service: string): Json[] {
  const table = { family, name: tableName(service) };
  return [command("add", "table", table), command("delete", "table", table)];
}

/** One transaction that replaces the table: no connection meets half of the rules. */
export function installation(interception: Interception): object {
  const name = tableName(interception.service);
  const commands = chainsOf(interception).flatMap(({ rules, ...chain }) => [
    command("add", "chain", { family, table: name, ...chain, policy: "accept" }),
    ...rules.map((expr) => command("add", "rule", { family, table: name, chain: chain.name, expr })),
  ]);
  return {
    nftables: [...emptied(interception.service), command("add", "table", { family, name }), ...commands],
  };
}
