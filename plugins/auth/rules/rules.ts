// Checks rules: every rule that matches a request's path and method must let the caller pass, and a deny rule that
// holds refuses whatever the others say. So the order of rules never matters, and one more rule can only restrict more.
import { compileMethods } from "../../../src/language/methods.ts";
import { compilePaths, type PathSet, type RequestPaths } from "../../../src/language/path-pattern.ts";
import { compileSpiffePatterns } from "../../../src/language/spiffe-id.ts";
import type { Clock, Counter, ExchangeRequest, Services } from "../../../src/plugin-api/contract.ts";
import { anyHolds, compileCondition, firstFailure, type Condition, type Subject } from "./conditions.ts";
import type { RuleOptions } from "./options.ts";
import { ruleRefusals } from "../metrics.ts";

export interface RuleFailure {
  readonly rule: string;
  /** Name of the first condition that failed, or `deny`. */
  readonly condition: string;
}

interface Rule {
  readonly name: string;
  readonly methods: ReadonlySet<string> | undefined;
  readonly paths: PathSet;
  readonly deny: boolean;
  readonly dryRun: boolean;
  readonly conditions: readonly Condition[];
  /** Whether a SPIFFE id of a client certificate is accepted; undefined = the rule has no `peer`. */
  readonly isPeer: ((id: string) => boolean) | undefined;
  /** Whether it has a condition on the client's certificate. */
  readonly readsCertificate: boolean;
  /** Whether callers must be known. False for a rule that has only `peer`. */
  readonly asksIdentity: boolean;
}

const dryRunLogMs = 1_000;

const alone = (path: string): RequestPaths => ({ path, strippedPath: path, upstreamPath: path });

/** Whether the client of this connection has an accepted SPIFFE id, and its certificate has not expired meanwhile. */
function comesFrom(isPeer: (id: string) => boolean, { exchange }: Subject, nowMs: number): boolean {
  const svid = exchange.client.tls?.svid;
  return svid !== undefined && nowMs < svid.endsMs && isPeer(svid.id);
}

/** @returns why a rule refuses; undefined = it lets the caller pass */
function judge(rule: Rule, subject: Subject, clock: Clock): RuleFailure | undefined {
  if (rule.deny)
    return anyHolds(rule.conditions, subject) ? { rule: rule.name, condition: "deny" } : undefined;
  if (rule.isPeer !== undefined && !comesFrom(rule.isPeer, subject, clock.now()))
    return { rule: rule.name, condition: "peer" };
  if (!rule.asksIdentity) return undefined;
  // Every allow rule needs a known caller, even one without conditions.
  if (subject.identity === undefined) return { rule: rule.name, condition: "identity" };
  const condition = firstFailure(rule.conditions, subject);
  return condition === undefined ? undefined : { rule: rule.name, condition };
}

const made = {
  exact: new WeakMap<object, readonly Rule[]>(),
  folded: new WeakMap<object, readonly Rule[]>(),
};

/** Most of thousands of routes have the same rules, from the top of the policy. Those are compiled once. */
function compiled(options: readonly RuleOptions[], foldsCase: boolean): readonly Rule[] {
  const known = foldsCase ? made.folded : made.exact;
  let rules = known.get(options);
  if (rules !== undefined) return rules;
  rules = options.map((rule, index): Rule => {
    const given = rule.allowAny ?? [rule.deny ?? rule.allow ?? {}];
    return {
      name: rule.name ?? String(index),
      methods: rule.methods && compileMethods(rule.methods),
      paths: compilePaths([rule.path], foldsCase),
      deny: rule.deny !== undefined,
      dryRun: rule.dryRun,
      conditions: given.map(compileCondition),
      readsCertificate: given.some(({ certificate }) => certificate !== undefined),
      isPeer: rule.peer && compileSpiffePatterns(rule.peer),
      asksIdentity: rule.allow !== undefined || rule.allowAny !== undefined,
    };
  });
  known.set(options, rules);
  return rules;
}

export class Rules {
  readonly #rules: readonly Rule[];
  readonly #services: Services;
  readonly #refused: (...labels: string[]) => Counter;
  #loggedMono = -Infinity;
  #unlogged = 0;

  /** @param foldsCase whether the route's service treats paths that differ only in case as the same */
  constructor(options: readonly RuleOptions[], services: Services, foldsCase: boolean) {
    this.#services = services;
    this.#refused = ruleRefusals(services.metrics);
    const rules = compiled(options, foldsCase);
    // Deny rules first, so that the logged reason does not depend on the order in the policy.
    this.#rules = [...rules.filter((rule) => rule.deny), ...rules.filter((rule) => !rule.deny)];
  }

  /** Whether there is any rule to check. */
  get any(): boolean {
    return this.#rules.length > 0;
  }

  /** Whether any rule has a condition on the client's certificate. */
  get readCertificates(): boolean {
    return this.#rules.some(({ readsCertificate }) => readsCertificate);
  }

  /** Whether any rule could concern a path. */
  concern(method: string, path: string): boolean {
    const paths = alone(path);
    return this.#rules.some((rule) => rule.methods?.has(method) !== false && rule.paths.couldBe(paths));
  }

  /**
   * Whether a rule could concern the path that the service gets with its upstream's base path, but not the bare path.
   */
  concernBased({ method, strippedPath, upstreamPath }: ExchangeRequest): boolean {
    if (upstreamPath === strippedPath) return false;
    const [based, bare] = [alone(upstreamPath), alone(strippedPath)];
    return this.#rules.some(
      ({ methods, paths }) => methods?.has(method) !== false && paths.couldBe(based) && !paths.couldBe(bare),
    );
  }

  /** Whether the rules that hold depend on how the service reads an encoded slash. */
  disputed(request: ExchangeRequest): boolean {
    if (!request.path.includes("%2F")) return false;
    return this.#rules.some(
      ({ methods, paths }) =>
        methods?.has(request.method) !== false && paths.couldBe(request) !== paths.couldBe(request, "kept"),
    );
  }

  /**
   * @param again a check of an exchange that goes on: its dry runs were reported at the start
   * @returns the first refusal. Dry runs are logged and counted on the way.
   */
  check(subject: Subject, again = false): RuleFailure | undefined {
    const { request } = subject.exchange;
    for (const rule of this.#rules) {
      if (again && rule.dryRun) continue;
      if (rule.methods?.has(request.method) === false || !rule.paths.couldBe(request)) continue;
      const failure = judge(rule, subject, this.#services.clock);
      if (failure === undefined) continue;
      this.#refused(failure.rule, failure.condition, rule.dryRun ? "dry-run" : "enforced").inc();
      if (!rule.dryRun) return failure;
      this.#logDryRun(failure, subject);
    }
    return undefined;
  }

  /** Logs at most one line a second, as a rule that is tried out on busy traffic must not flood the log. */
  #logDryRun(failure: RuleFailure, { exchange, identity }: Subject): void {
    const now = this.#services.clock.mono();
    if (now - this.#loggedMono < dryRunLogMs) {
      this.#unlogged += 1;
      return;
    }
    const facts = { ...failure, requestId: exchange.id, userId: identity?.userId, unlogged: this.#unlogged };
    this.#services.logger.info(facts, "a rule in dry run would have refused this request");
    this.#loggedMono = now;
    this.#unlogged = 0;
  }
}
