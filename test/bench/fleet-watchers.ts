// One process of the fleet bench: watchers of policies, each with its own connections and with everything that a
// sidecar does in Redis between requests. A policy counts as in force once it is read, parsed and checked: there is no
// data plane. A document is parsed once per process, since a thousand real sidecars would not share two processors.
import { registry } from "../../src/app/registry.ts";
import { withDirectReports } from "../../src/fleet/direct-report.ts";
import { startHeartbeat } from "../../src/fleet/heartbeat.ts";
import { SwitchSource } from "../../src/kill-switch/switch-source.ts";
import type { PolicyEvents } from "../../src/policy/events.ts";
import { createPolicyController, type PolicyController } from "../../src/policy/controller.ts";
import { createPolicyReader, type EffectivePolicy, type PolicyReader } from "../../src/policy/read.ts";
import { createRedisSource } from "../../src/policy/sources/redis-source.ts";
import { parseRedisAddress } from "../../src/redis/address.ts";
import { createStore, type RedisStore } from "../../src/redis/store.ts";
import { version } from "../../src/version.ts";
import { eventually } from "../support/redis.ts";
import type { WatchersNews, WatchersTask } from "./fleet-crew.ts";

const keyPrefix = "outrigger:";
/** Watchers that start at a time. */
const atOnce = 50;

const { url, count, first, services } = JSON.parse(process.argv[2] ?? "") as WatchersTask;
const times = new Map<string, number[]>();
const readers = new Map<string, PolicyReader>();
const parsed = new Map<string, Promise<EffectivePolicy>>();
const noEvents: PolicyEvents = { onAccepted() {}, onRejected() {}, onSourceState() {} };

function tell(news: WatchersNews): void {
  process.send?.(news);
}

function inForce(mark: string): void {
  const list = times.get(mark) ?? [];
  times.set(mark, list);
  list.push(performance.timeOrigin + performance.now());
  if (list.length === count) tell({ kind: "in force", mark, atMs: list });
}

const plugins = Object.fromEntries(registry.map((plugin) => [plugin.name, plugin]));

async function readerOf(service: string): Promise<PolicyReader> {
  const known = readers.get(service);
  if (known !== undefined) return known;
  const read = await createPolicyReader({ plugins, service, upstreamAllow: undefined, keys: undefined });
  // No watcher has a layer here, so the shared document gives the same policy for all services.
  const once: PolicyReader = (raw) => {
    const text = Buffer.from(raw.shared).toString();
    const policy = parsed.get(text) ?? read(raw);
    parsed.set(text, policy);
    return policy;
  };
  readers.set(service, once);
  return once;
}

function controllerOf(
  store: RedisStore,
  service: string,
  instance: string,
  read: PolicyReader,
): PolicyController {
  const source = createRedisSource({ store, service, keyPrefix });
  return createPolicyController({
    read,
    source: withDirectReports(source, { store, service, instance, keyPrefix }),
    compile: (policy) => Promise.resolve(policy),
    swap({ document }) {
      inForce(String(document.routes.at(-1)?.path));
      beats.get(instance)?.trigger();
    },
    release() {},
    clock: Date,
    events: noEvents,
  });
}

const beats = new Map<string, ReturnType<typeof startHeartbeat>>();

async function startWatcher(number: number): Promise<void> {
  const service = `service-${number % services}`;
  const instance = `${service}-7d9c5b6f4-${number}`;
  const store = createStore({
    address: parseRedisAddress(url),
    keyPrefix,
    connectionName: `outrigger-${service}`,
  });
  const switches = new SwitchSource({
    store,
    service,
    policyKey: "policy",
    clock: Date,
    needsEnd: false,
    onChange() {},
    onIgnored() {},
    onLost() {},
    onRead() {},
    onRefused() {},
  });
  await store.whenUp(20_000);
  await switches.start();
  const controller = controllerOf(store, service, instance, await readerOf(service));
  await controller.start();
  const status = (): ReturnType<PolicyController["status"]> => controller.status();
  beats.set(
    instance,
    startHeartbeat({ store, service, instance, version, plugins: () => registry, status, clock: Date }),
  );
  await eventually("changes are told", () => controller.ready && store.watching, 30_000);
}

process.on("disconnect", () => process.exit());
for (let from = 0; from < count; from += atOnce) {
  const length = Math.min(atOnce, count - from);
  await Promise.all(Array.from({ length }, (_, at) => startWatcher(first + from + at)));
}
tell({ kind: "ready" });
