// Parses nft's listing of a table: which ports go where, and whether all rules are as `install` makes them.
import { isDeepStrictEqual } from "node:util";
import { type Chain, chainsOf, type EgressInterception, type Interception } from "./rules.ts";

export interface Installed {
  /** undefined = the rules are not such as `install` makes. */
  readonly interception: Interception | undefined;
  /** Whether every chain and rule is as `install` makes it, and there are no others. */
  readonly intact: boolean;
  /** Connections counted since the installation, by chain. */
  readonly connections: Readonly<Record<string, number>>;
}

type Item = Readonly<Record<string, unknown>>;

const isItem = (value: unknown): value is Item =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** @param listing output of `nft -j list table` */
export function readTable(service: string, listing: unknown): Installed {
  const items = isItem(listing) && Array.isArray(listing["nftables"]) ? listing["nftables"] : [];
  const found = chainsIn(items.filter(isItem));
  const interception = interceptionIn(service, found);
  // The flag "dormant" disables a complete table. `install` sets no flags, and nft lists them under odd names.
  const hasFlags = items.some((item) => isItem(item) && isItem(item["table"]) && "flags" in item["table"]);
  return {
    interception,
    intact:
      interception !== undefined &&
      !hasFlags &&
      isDeepStrictEqual(byName(found), byName(chainsOf(interception))),
    connections: Object.fromEntries(found.map(({ name, packets }) => [name, packets])),
  };
}

interface Found extends Omit<Chain, "type" | "hook"> {
  readonly type: unknown;
  readonly hook: unknown;
  readonly policy: unknown;
  readonly packets: number;
}

function chainsIn(items: readonly Item[]): Found[] {
  const parts = (kind: string): Item[] => items.map((item) => item[kind]).filter(isItem);
  const rules = parts("rule");
  return parts("chain").map(({ name, type, hook, prio, policy }) => {
    const own = rules
      .filter(({ chain }) => chain === name)
      .map(({ expr }) => (Array.isArray(expr) ? expr : []));
    return {
      name: String(name),
      type,
      hook,
      prio: Number(prio),
      policy,
      rules: own.map((expr) => expr.map(plain)) as Chain["rules"],
      packets: own.flat().reduce((sum: number, part) => sum + packetsOf(part), 0),
    };
  });
}

/** In a NAT chain this counts connections: only their first packet gets there. */
function packetsOf(part: unknown): number {
  const counter = isItem(part) ? part["counter"] : undefined;
  return isItem(counter) ? Number(counter["packets"]) || 0 : 0;
}

/** Normalizes nft's listing: by flags and version it lists names or numbers, and adds counts. */
function plain(part: unknown): unknown {
  if (!isItem(part)) return part;
  if ("counter" in part) return { counter: null };
  const { match, reject } = part;
  if (isItem(reject) && reject["expr"] === 13) return { reject: { ...reject, expr: "admin-prohibited" } };
  if (!isItem(match) || !isItem(match["left"])) return part;
  const { fib } = match["left"];
  if (!isItem(fib)) return part;
  const flags = [fib["flags"]].flat();
  return {
    match: {
      ...match,
      left: { fib: { ...fib, flags } },
      right: match["right"] === 2 ? "local" : match["right"],
    },
  };
}

function byName(chains: readonly (Chain | Found)[]): unknown {
  return Object.fromEntries(
    chains.map(({ name, type, hook, prio, rules, ...rest }) => [
      name,
      { type, hook, prio, rules, policy: "policy" in rest ? rest.policy : "accept" },
    ]),
  );
}

/** The parts of a rule that matter here. */
interface Said {
  readonly ports: readonly number[];
  readonly toPort: number | undefined;
  readonly user: { readonly op: unknown; readonly id: number } | undefined;
}

function saidBy(chains: readonly Found[], name: string): Said | undefined {
  const [rule] = chains.find((chain) => chain.name === name)?.rules ?? [];
  if (!Array.isArray(rule)) return undefined;
  const parts = (rule as unknown[]).filter(isItem);
  const matches = parts.map(({ match }) => match).filter(isItem);
  const rightOf = (key: string, value: string): Item | undefined =>
    matches.find(({ left }) => isItem(left) && isItem(left[key]) && Object.values(left[key]).includes(value));
  const ports = rightOf("payload", "dport")?.["right"];
  const user = rightOf("meta", "skuid");
  const [to] = parts.map(({ redirect }) => redirect).filter(isItem);
  const listed = isItem(ports) && Array.isArray(ports["set"]) ? (ports["set"] as unknown[]) : [ports];
  return {
    ports: listed.filter((port) => typeof port === "number"),
    toPort: typeof to?.["port"] === "number" ? to["port"] : undefined,
    user: typeof user?.["right"] === "number" ? { op: user["op"], id: user["right"] } : undefined,
  };
}

function interceptionIn(service: string, chains: readonly Found[]): Interception | undefined {
  const { ports: [port] = [], toPort } = saidBy(chains, "inbound") ?? {};
  if (port === undefined || toPort === undefined) return undefined;
  const outbound = saidBy(chains, "outbound");
  if (outbound === undefined) return { service, port, toPort };
  const egress = egressIn(outbound);
  return egress === undefined ? undefined : { service, port, toPort, egress };
}

function egressIn({ ports, toPort, user }: Said): EgressInterception | undefined {
  if (toPort === undefined || user === undefined) return undefined;
  return { ports, toPort, users: user.op === "==" ? { only: user.id } : { allBut: user.id } };
}
