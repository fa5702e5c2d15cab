// Finds which callers a policy lets reach each operation of a service, and about which operations it says nothing. Each
// operation is asked for on the real chain, like the policy's tests, by callers with different rights.
import type { PluginDefinition } from "../plugin-api/contract.ts";
import { withinLimit } from "../plugin-api/within-limit.ts";
import type { EffectiveRoute } from "../policy/document/routes.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import { Bench, type BenchOptions } from "../policy-tests/bench.ts";
import type { Observed } from "../policy-tests/expectation.ts";
import { OwnTime } from "../policy-tests/own-time.ts";
import { Slices } from "../v8/slices.ts";
import { type Caller, type CallerName, callersFor } from "./callers.ts";
import { formsOf, type Form } from "./forms.ts";
import { Owners } from "./owners.ts";
import type { Operation } from "./operation.ts";
import { type Loaded, loadLints, providerOf } from "./provisions.ts";
import { testsOf } from "./tests-of.ts";

/**
 * Who reaches the service: `anyone`; `known` callers, with any rights; callers `permitted` by scopes, roles, plan or
 * claims. If no caller does: a `plugin` answers, the request is `refused`, no route takes it (`unrouted`), or it is
 * `untold`, because the decision depends on another service that is not asked here.
 */
export type Reach = "anyone" | "known" | "permitted" | "plugin" | "refused" | "unrouted" | "untold";

/** The answer to one caller. */
export interface Answer {
  readonly caller: CallerName;
  readonly status: number;
  /** The plugin that answered; null = no plugin did. */
  readonly by: string | null;
  readonly because: string | null;
}

export interface Covered {
  readonly method: string;
  /** Template of the operation's path. */
  readonly operation: string;
  /** The path that was asked for. */
  readonly path: string;
  readonly route: string | null;
  readonly reach: Reach;
  readonly answers: readonly Answer[];
  /**
   * The plugin with a rule about the operation, and the plugin with a limit that always counts it; null = no plugin
   * claims that.
   */
  readonly rule: string | null;
  readonly limit: string | null;
  /** Names of tests that ask for the operation. */
  readonly tests: readonly string[];
}

export interface CoverageOptions extends BenchOptions {
  readonly registry: readonly PluginDefinition[];
  /** Whether operations are as the service sees them: clients may write a `stripPrefix` before their paths. */
  readonly stripped: boolean;
}

const setupLimitMs = 30_000;
/** Limit of one request. */
const limitMs = 10_000;
/** Statuses that refuse the form of a request, after its caller was accepted. */
const shapeFaults = new Set([400, 411, 412, 413, 415, 422, 428]);

/** Rejects when a plugin cannot be set up, or takes too long. */
export async function coverageOf(
  policy: EffectivePolicy,
  operations: readonly Operation[],
  options: CoverageOptions,
): Promise<readonly Covered[]> {
  const late = `the policy's set-up took longer than ${setupLimitMs} ms`;
  const bench = await withinLimit(Bench.of(policy, options), setupLimitMs, late, (made) => void made.close());
  const asking = new Asking(policy, bench, options, {
    loaded: await loadLints(options.registry),
    owners: new Owners(operations),
  });
  const slices = new Slices();
  try {
    const covered: Covered[] = [];
    for (const operation of operations) {
      covered.push(...(await asking.ask(operation)));
      if (slices.over) await slices.next();
    }
    return covered;
  } finally {
    await bench.close();
  }
}

class Asking {
  readonly #policy: EffectivePolicy;
  readonly #bench: Bench;
  readonly #options: CoverageOptions;
  readonly #loaded: Loaded;
  readonly #owners: Owners;
  readonly #callers: readonly Caller[];

  constructor(
    policy: EffectivePolicy,
    bench: Bench,
    options: CoverageOptions,
    { loaded, owners }: { readonly loaded: Loaded; readonly owners: Owners },
  ) {
    this.#owners = owners;
    this.#policy = policy;
    this.#bench = bench;
    this.#options = options;
    this.#loaded = loaded;
    this.#callers = callersFor(policy.document);
  }

  /** @returns one line for each different treatment of the operation by the policy */
  async ask(operation: Operation): Promise<readonly Covered[]> {
    const lines: Covered[] = [];
    let own: Covered | undefined;
    for (const form of formsOf(operation, this.#policy, this.#options.stripped, this.#owners)) {
      const line = await this.#line(operation, form);
      if (form.prefix === undefined) own ??= line;
      // With a prefix that is not stripped, or without one that is, this is another operation of the service.
      const strips = this.#routeOf(line.route, operation.method)?.stripPrefix;
      if (line.route === null || (this.#options.stripped && strips !== form.prefix)) continue;
      const usual = lines.find(({ operation: template }) => template === form.path);
      // A path that the policy names more closely is listed only if it is treated differently.
      if (!form.closer || usual === undefined || differs(line, usual)) lines.push(line);
    }
    return lines.length > 0 ? lines : [own as Covered];
  }

  async #line(operation: Operation, form: Form): Promise<Covered> {
    const { method } = operation;
    const asked = { method, path: form.example };
    const { route, answers, reach } = await this.#answers(asked);
    const served = this.#routeOf(route, method);
    const ownBase = this.#options.upstream.basePath ?? "";
    const by = (what: "rule" | "limit"): string | null =>
      (served && providerOf(what, served, asked, { loaded: this.#loaded, ownBase })) ?? null;
    return {
      method,
      operation: form.path,
      path: form.example,
      route,
      reach,
      answers,
      rule: by("rule"),
      limit: by("limit"),
      tests: testsOf(this.#policy.tests, operation, form, this.#owners),
    };
  }

  /** Asks with one caller after the other until one reaches the service. */
  async #answers(asked: { readonly method: string; readonly path: string }) {
    const answers: Answer[] = [];
    let route: string | null = null;
    let reach: Reach | undefined;
    for (const { name, identity } of this.#callers) {
      const test = { name: "", request: { ...asked, ...(identity && { identity }) }, expect: {} };
      const observed = await this.#bench.run(test, new OwnTime(limitMs, limitMs));
      ({ route } = observed);
      answers.push(answerOf(name, observed));
      if (this.#isLetIn(observed)) {
        reach = reaches[name];
        break;
      }
    }
    return { route, answers, reach: reach ?? unreached(route, answers) };
  }

  /**
   * Whether the caller was let in. A plugin that establishes identities may refuse the form before it accepts the
   * caller.
   */
  #isLetIn({ upstreamHeaders, status, plugin }: Observed): boolean {
    if (upstreamHeaders !== undefined) return true;
    if (plugin === null || !shapeFaults.has(status)) return false;
    return this.#loaded.get(plugin)?.lint.provides?.identity === undefined;
  }

  #routeOf(path: string | null, method: string): EffectiveRoute | undefined {
    const routes = this.#policy.routes.filter((route) => route.path === path);
    const isListed = ({ methods }: EffectiveRoute): boolean =>
      methods?.includes(method) === true || (method === "HEAD" && methods?.includes("GET") === true);
    return routes.find(isListed) ?? routes.find(({ methods }) => methods === undefined);
  }
}

const reaches = { nobody: "anyone", somebody: "known", "somebody with all": "permitted" } as const;

function answerOf(caller: CallerName, { status, plugin, because }: Observed): Answer {
  return { caller, status, by: plugin, because: because ?? null };
}

function unreached(route: string | null, answers: readonly Answer[]): Reach {
  if (route === null) return "unrouted";
  if (answers.some(({ status }) => status >= 500)) return "untold";
  return answers.some(({ by, status }) => by !== null && status < 400) ? "plugin" : "refused";
}

const differs = (one: Covered, other: Covered): boolean =>
  (["route", "reach", "rule", "limit"] as const).some((name) => one[name] !== other[name]);
