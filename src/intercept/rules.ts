// The rules of nftables that send a service's connections through its sidecar: one table a service, as JSON that nft reads
// (libnftables-json(5)), so that no name and no number is ever a word of its language.

export interface Interception {
  readonly service: string;
  /** Where clients come for the service. */
  readonly port: number;
  /** Where the sidecar listens. */
  readonly toPort: number;
  readonly egress?: EgressInterception;
}

/** The service's own calls to others. */
export interface EgressInterception {
  /** Ports of others, ascending. */
  readonly ports: readonly number[];
  /** Where the sidecar's egress listener is. */
  readonly toPort: number;
  readonly users:
    | { readonly allBut: number }
    /** Of a host, where other users' calls are not the service's. */
    | { readonly only: number };
}

type Json = null | number | string | boolean | readonly Json[] | { readonly [name: string]: Json };

const family = "inet";
const prefix = "outrigger-";
/** Before routing, one step before NAT of destinations (-100), where Docker and others send published ports to containers: the first that says where a connection goes is heard. */
const beforeDstnat = -101;
const filter = 0;

/**
 * On loopback, and nobody listens there alone: with the rules in force a connection to it at the service's port ends with
 * EHOSTUNREACH. Who may not list rules sees so that they are there.
 */
export const probeAddress = "127.0.79.82";

export const tableName = (service: string): string => `${prefix}${service}`;
/** @returns undefined for a table of others */
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

/** What is only passed on to other machines is not the service's. */
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
  /** Expressions of each. */
  readonly rules: readonly Json[];
}

/**
 * Loopback stays direct: it is the sidecar's way to the service. What still comes for the service's port after NAT was there
 * before the rules, or went past connection tracking: reset, or it would go on unguarded.
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
      // Beside what closes the port: who takes that away by `flush` takes the answer away, too.
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

/** One transaction that leaves nothing of the table. */
export function removal(service: string): object {
  return { nftables: emptied(service) };
}

/** nft has no "delete if it is there": what was added is. */
function emptied(service: string): Json[] {
  const table = { family, name: tableName(service) };
  return [command("add", "table", table), command("delete", "table", table)];
}

/** One transaction, in place of what is there of it: no connection meets half of the rules. */
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
