// Gives each plugin its part of the services: calls are made in its name, and use of anything it has not declared is
// refused. Created once per plugin. This prevents mistakes and undeclared use; it is no barrier against hostile code,
// which runs in this process all the same.
import type {
  KeptLines,
  PluginNeeds,
  Secrets,
  Services,
  Store,
  StoreSeals,
  Workers,
} from "../plugin-api/services.ts";
import type { PluginSecrets } from "../plugin-api/secrets.ts";
import { isWithin, ScopedStore, type StoreRate } from "./scoped-store.ts";
import { NotDeclared } from "./services/not-declared.ts";
import { OwnServices, type SharedParts } from "./services/own-services.ts";
import { refuse } from "./services/quota-use.ts";
import { builtInQuotas, type Quotas } from "./services/quotas.ts";
import { Rate } from "./services/rate.ts";
import { scopedLog } from "./services/scoped-log.ts";
import { scopedMetrics } from "./services/scoped-metrics.ts";

/** The services of the sidecar, of which each plugin gets its part. */
export interface HostServices extends Omit<Services, "workers" | "http" | "cache" | "db"> {
  readonly http: SharedParts["http"];
  readonly workers?:
    | { call(plugin: string, request: unknown, limitMs: number): Promise<unknown> }
    | undefined;
}

/** The part of a plugin that its services need. */
export interface ServicesUser {
  readonly name: string;
  readonly needs?: PluginNeeds;
  readonly secrets?: PluginSecrets;
}

const noOptions = {};

export class ScopedServices {
  /** Services for what outlives a policy: only the declared secrets are readable. */
  readonly common: Services;
  readonly #live: Secrets;
  readonly #user: ServicesUser;
  readonly #own: OwnServices;
  // Most routes have their options from the policy's top: one shared object, searched for secret names once.
  #byOptions = new WeakMap<object, Services>();
  /** The secrets that `byOptions` was made for. */
  #secretsOf: Secrets;

  /**
   * @param others the plugins beside it; a metric belongs to the plugin with the longest matching prefix
   * @param quotas what the plugin may take of shared resources
   */
  constructor(
    user: ServicesUser,
    services: HostServices,
    others: readonly ServicesUser[] = [],
    quotas: Quotas = builtInQuotas,
  ) {
    this.#user = user;
    this.#live = services.secrets;
    this.#secretsOf = services.secrets;
    const { store, seals, keptLines, workers, fleet, metrics } = services;
    const keys = ownPrefix(user.name, fleet.service);
    this.#own = new OwnServices(user.name, user.needs, keys, services, quotas);
    this.common = {
      ...services,
      ...scopedLog(user.name, services, quotas.logLinesPerSecond),
      metrics: scopedMetrics(user, metrics, others, quotas.metricSeries),
      store: store && scopedStore(user, store, fleet.service, storeRate(user.name, services, quotas)),
      seals: seals && scopedSeals(user, seals),
      secrets: this.#secrets(new Set(), services.secrets),
      http: this.#own.http,
      cache: this.#own.cache,
      db: this.#own.db,
      keptLines: keptLines && scopedLines(user, keptLines),
      workers: workers && ownPart(user.name, workers),
    };
  }

  /**
   * The services for a set-up with these options, as the policy has them. Secrets that the options name are readable
   * too.
   * @param secrets default: those in force at any time
   * @throws Error when the plugin declares a database and no secret holds its URL
   */
  with(options: unknown, secrets = this.#live): Services {
    this.#own.db.check();
    const key = typeof options === "object" && options !== null ? options : noOptions;
    if (this.#secretsOf !== secrets) this.#byOptions = new WeakMap();
    this.#secretsOf = secrets;
    const known = this.#byOptions.get(key);
    if (known !== undefined) return known;
    const named = new Set<string>();
    collectSecrets(options, named);
    const isCommon = named.size === 0 && secrets === this.#live;
    const services = isCommon ? this.common : { ...this.common, secrets: this.#secrets(named, secrets) };
    this.#byOptions.set(key, services);
    return services;
  }

  /** A state of the plugin that uses these services begins. */
  open(): void {
    this.#own.open();
  }

  /**
   * A state of the plugin is over. With the last one, everything opened by these services ends, and further use is
   * refused.
   */
  close(): void {
    this.#own.close();
  }

  #secrets(named: ReadonlySet<string>, secrets: Secrets): Secrets {
    const { name: plugin } = this.#user;
    const declared = declaredSecrets(this.#user);
    const check = (name: string): void => {
      if (!declared.has(name) && !named.has(name))
        throw new NotDeclared(plugin, `the secret ${name}`, "secrets");
    };
    return {
      get generation() {
        return secrets.generation;
      },
      get(name) {
        check(name);
        return secrets.get(name);
      },
      sentTo(name, url) {
        check(name);
        return secrets.sentTo(name, url);
      },
    };
  }
}

/** Adds every text in the options that is a name of a secret. */
function collectSecrets(options: unknown, names: Set<string>): void {
  if (typeof options === "string") {
    if (/^SECRET_[A-Z0-9_]+$/.test(options)) names.add(options);
  } else if (typeof options === "object" && options !== null) {
    for (const member of Object.values(options)) collectSecrets(member, names);
  }
}

/** @returns the names of secrets that the plugin may read whatever its options name */
export function declaredSecrets({ needs, secrets = {} }: ServicesUser): ReadonlySet<string> {
  return new Set([...Object.keys(secrets), ...(needs?.secrets ?? [])]);
}

/** @returns undefined = no bound */
function storeRate(
  plugin: string,
  { metrics, clock }: HostServices,
  { storeCommandsPerSecond: max }: Quotas,
): StoreRate | undefined {
  if (max === Infinity) return undefined;
  const rate = new Rate(max, clock.mono());
  const options = {
    plugin,
    quota: "store_commands",
    max,
    unit: "commands of the store a second",
    metrics,
  } as const;
  // A call that counts more than the whole quota takes the whole quota.
  return (count) => (rate.take(clock.mono(), Math.min(count, max)) ? undefined : refuse(options));
}

/** @returns the prefix of the plugin's own keys */
function ownPrefix(plugin: string, service: string): string {
  return `p:${service}:${plugin}:`;
}

/** @param service the service that the plugin's own keys belong to */
export function scopedStore(
  { name, needs }: ServicesUser,
  store: Store,
  service: string,
  rate?: StoreRate,
): Store {
  const keys = (needs?.keys ?? []).map((key) => key.replace("<service>", () => service));
  const scope = {
    plugin: name,
    whole: new Set(keys.filter((key) => !key.endsWith(":"))),
    prefixes: [ownPrefix(name, service), ...keys.filter((key) => key.endsWith(":"))],
  };
  return new ScopedStore(store, scope, rate);
}

export function scopedSeals({ name, needs }: ServicesUser, seals: StoreSeals): StoreSeals {
  const scope = { plugin: name, whole: new Set([name, ...(needs?.seals ?? [])]), prefixes: [`${name}:`] };
  return {
    of(purpose) {
      if (!isWithin(scope, purpose)) throw new NotDeclared(name, `the seal of "${purpose}"`, "seals");
      return seals.of(purpose);
    },
  };
}

function scopedLines(
  { name, needs }: ServicesUser,
  keptLines: (name: string) => KeptLines,
): (name: string) => KeptLines {
  const scope = { plugin: name, whole: new Set([name, ...(needs?.lines ?? [])]), prefixes: [`${name}.`] };
  return (lines) => {
    // The name becomes part of a file name.
    if (!isWithin(scope, lines) || !/^[a-z0-9.-]+$/.test(lines))
      throw new NotDeclared(name, `the kept lines "${lines}"`, "lines");
    return keptLines(lines);
  };
}

function ownPart(plugin: string, workers: NonNullable<HostServices["workers"]>): Workers {
  return { call: (request, limitMs) => workers.call(plugin, request, limitMs) };
}
