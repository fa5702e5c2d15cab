// The ip-filter plugin: lets clients in, or keeps them out, by their address.
import {
  definePlugin,
  type Exchange,
  GatewayError,
  type Hooks,
  type Services,
} from "../../src/plugin-api/contract.ts";
import { compileJudge, type Judgement, type List, type Lists } from "./judge.ts";
import { type NamedList, NamedLists } from "./lists.ts";
import { filteredTotal } from "./metrics.ts";
import { type IpFilterOptions, ipFilterOptions } from "./options.ts";

interface UsedLists {
  readonly allow: readonly NamedList[];
  readonly deny: readonly NamedList[];
}

const logEveryMs = 1_000;

function errorOf({ what }: NonNullable<Judgement>): GatewayError {
  return what === "refused"
    ? new GatewayError("forbidden", "Your address is not let in here.")
    : new GatewayError("dependency_unavailable", "Whether your address is let in is not known now.");
}

async function listsOf(options: IpFilterOptions, services: Services, state: NamedLists): Promise<UsedLists> {
  const { store } = services;
  if (options.lists.length + options.denyLists.length === 0) return { allow: [], deny: [] };
  if (store === undefined) {
    throw new Error("lists and denyLists are in Redis: set REDIS_URL, or name the networks in the policy");
  }
  const use = (names: readonly string[]): Promise<NamedList[]> =>
    Promise.all(names.map((name) => state.use(name, store)));
  const [allow, deny] = await Promise.all([use(options.lists), use(options.denyLists)]);
  return { allow, deny };
}

const unknownList = (name: string): List => ({ name, current: () => undefined });

/** A policy's tests run without Redis, so the content of the lists is unknown there. */
function unknownLists({ lists, denyLists }: IpFilterOptions): Lists {
  return { allow: lists.map(unknownList), deny: denyLists.map(unknownList) };
}

/** Logs what a dry run would refuse, at most one line a second. */
function createTeller(
  { logger, clock }: Services,
  route: string,
): (exchange: Exchange, because: string) => void {
  let nextMono = 0;
  let untold = 0;
  return function tell({ client }, because) {
    untold += 1;
    if (clock.mono() < nextMono) return;
    nextMono = clock.mono() + logEveryMs;
    logger.info({ route, clientIp: client.address, because, requests: untold }, "dry run: would be refused");
    untold = 0;
  };
}

export const ipFilter = definePlugin({
  name: "ip-filter",
  version: "1.0.0",
  apiVersion: 1,
  // Before plugins that do costly work, and before cors, whose answers are only for clients that are let in.
  priority: 7,
  security: true,
  failMode: "closed",
  options: ipFilterOptions,
  needs: { keys: ["ip-list:"] },
  lint: async () => (await import("./lint.ts")).lint,

  init: (services): NamedLists => new NamedLists(services),
  dispose: (state) => state.close(),

  async setup({ options, services, state, route }): Promise<Hooks> {
    const used = services.testRun === undefined ? await listsOf(options, services, state) : undefined;
    const judge = compileJudge(options, used ?? unknownLists(options));
    const counter = filteredTotal(services.metrics);
    const allowed = counter(route.pattern, "allowed");
    const refused = counter(route.pattern, options.dryRun ? "would_refuse" : "refused");
    const unavailable = counter(route.pattern, "unavailable");
    const tell = createTeller(services, route.pattern);
    const all = [...(used?.allow ?? []), ...(used?.deny ?? [])];
    return {
      onRequest(exchange) {
        const judgement = judge(exchange.client.address);
        if (judgement === undefined) return allowed.inc();
        (judgement.what === "refused" ? refused : unavailable).inc();
        if (options.dryRun) return tell(exchange, judgement.because);
        exchange.refusedBecause = judgement.because;
        return { action: "reject", error: errorOf(judgement) };
      },
      recheck({ client }) {
        const judgement = options.dryRun ? undefined : judge(client.address);
        return judgement && { action: "reject", error: errorOf(judgement) };
      },
      health: () => all.find(({ flaw }) => flaw !== undefined)?.flaw,
      close() {
        for (const list of all) state.release(list);
      },
    };
  },
});
