// `outrigger sync` of a cluster: OutriggerPolicy objects and ConfigMaps, with a real Redis and a stand-in for the API
// server.
import assert from "node:assert/strict";
import { after, afterEach, beforeEach, describe, it } from "node:test";
import { syncPolicies, type SyncOptions } from "../../src/cli/sync.ts";
import { clusterIn, KubernetesApi } from "../../src/kubernetes/api.ts";
import { KubernetesSource } from "../../src/sync/kubernetes-source.ts";
import { WatchedList } from "../../src/kubernetes/watched-list.ts";
import { makeCertificate } from "../support/certificate.ts";
import { ApiServer, type Stored } from "../support/api-server.ts";
import { outrigger } from "../support/process.ts";
import { eventually, startRedis } from "../support/redis.ts";

const policies = "/apis/outrigger.dev/v1/namespaces/demo/outriggerpolicies";
const configMaps = "/api/v1/namespaces/demo/configmaps";
const redis = await startRedis();
after(() => redis.close());

let api: ApiServer;
const stops: (() => Promise<number>)[] = [];
beforeEach(async () => {
  await redis.cli.flushall();
  api = new ApiServer([policies, configMaps]);
  await api.listen();
});
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  await api.close();
});

const shared = { apiVersion: "outrigger/v1", plugins: ["logging"] };
const layer = (path: string) => ({ apiVersion: "outrigger/v1", routes: [{ path }] });
const policy = (name: string, spec: object, annotations: Record<string, string> = {}): Stored => ({
  metadata: { name, annotations },
  spec,
});
const configMap = (name: string, data: Record<string, string>): Stored => ({
  metadata: { name, labels: { "outrigger.dev/policies": "true" } },
  data,
});
const inRedis = async (key: string): Promise<unknown> =>
  JSON.parse((await redis.cli.get(`outrigger:${key}`)) ?? "null") as unknown;

interface Status {
  readonly revision?: number;
  readonly observedGeneration?: number;
  readonly problems?: { path: string; message: string }[];
  readonly conditions?: {
    type: string;
    status: string;
    reason: string;
    message: string;
    lastTransitionTime: string;
  }[];
}
const statusOf = (name: string): Status => api.get(policies, name)?.status ?? {};
const synced = (name: string) => statusOf(name).conditions?.find(({ type }) => type === "Synced");
const becomes = (name: string, reason: string, generation = 1): Promise<void> =>
  eventually(
    `${name} ${reason}`,
    () => synced(name)?.reason === reason && statusOf(name).observedGeneration === generation,
    8_000,
  );

function run(options: Partial<SyncOptions> = {}) {
  const stop = new AbortController();
  const lines: Record<string, unknown>[] = [];
  const terminal = {
    env: { REDIS_URL: redis.url, OUTRIGGER_ADMIN: "127.0.0.1:0", ...api.env },
    out: (text: string) => void lines.push(JSON.parse(text) as Record<string, unknown>),
    err: (text: string) => void lines.push({ msg: text }),
  };
  const given = { every: "1s", onDelete: "keep", ...options } as const;
  const end = syncPolicies(terminal, { serviceAccount: api.serviceAccount, ...given }, stop.signal);
  stops.push(async () => (stop.abort(), await end));
  return async (what: RegExp): Promise<Record<string, unknown>> => {
    const find = () => lines.find((line) => what.test(JSON.stringify(line)));
    await eventually(`${what} in ${JSON.stringify(lines)}`, () => find() !== undefined, 8_000);
    return find() ?? {};
  };
}

describe("outrigger sync of a cluster", () => {
  it("puts objects and ConfigMaps in force, and writes the status of objects", async () => {
    api.put(
      policies,
      policy("users", { service: "users", policy: layer("/a") }, { "outrigger.dev/reason": "PR 7" }),
    );
    api.put(configMaps, configMap("fleet", { "policy.yaml": JSON.stringify(shared), notes: "none" }));
    api.put(configMaps, { metadata: { name: "other" }, data: { "policy.other.yaml": "{}" } });
    run();
    await becomes("users", "Applied");
    const { conditions, ...status } = statusOf("users");
    assert.equal(status.revision, 1);
    assert.deepEqual(
      conditions?.map(({ type, status: is, message }) => [type, is, message]),
      [
        ["Synced", "True", "the layer of users is at revision 1, in force in 0 of 0 sidecars"],
        ["Converged", "True", "0 of 0 sidecars have it in force"],
      ],
    );
    assert.deepEqual(await inRedis("policy"), shared);
    assert.equal(await redis.cli.exists("outrigger:policy:other"), 0);
    const history = await outrigger(["policy", "history", "--service", "users"], { REDIS_URL: redis.url });
    assert.match(history.stdout, /OutriggerPolicy demo\/users: generation 1, PR 7 \[declared sha256:/);

    api.put(policies, policy("users", { service: "users", policy: layer("/b") }));
    await becomes("users", "Applied", 2);
    assert.equal(statusOf("users").revision, 2);
    assert.deepEqual(await inRedis("policy:users"), layer("/b"));
    // A status that says it already is not written again.
    const patches = () => api.asked.filter((each) => each.startsWith("PATCH")).length;
    const before = patches();
    api.put(
      policies,
      policy("text", { service: "text", document: "apiVersion: outrigger/v1\nplugins: [cors]\n" }),
    );
    await becomes("text", "Applied");
    assert.equal(patches(), before + 1);
  });

  it("reports nothing of an object that has changed since it was read", async (t) => {
    api.put(policies, policy("users", { service: "users", policy: layer("/a") }));
    const cluster = new KubernetesApi(clusterIn(api.env, api.serviceAccount));
    const source = new KubernetesSource({ api: cluster, namespace: "demo", whenGone: "keep" });
    const stop = new AbortController();
    t.after(() => stop.abort());
    let changes = 0;
    source.start(() => (changes += 1), stop.signal);
    const facts = { message: "it is", problems: [], revision: 7, digest: "sha256:7" };
    const inForce = async () =>
      (await source.read(stop.signal))?.map(
        (declared) => ({ declared, state: "in-force", ...facts }) as const,
      );
    await eventually("it is read", async () => (await inForce())?.length === 1);
    const old = (await inForce()) ?? [];
    const before = changes;
    api.put(policies, policy("users", { service: "users", policy: layer("/b") }));
    await eventually("the change is seen", () => changes > before);
    await source.report(old, stop.signal);
    assert.equal(statusOf("users").observedGeneration, undefined);
    await source.report((await inForce()) ?? [], stop.signal);
    assert.deepEqual([statusOf("users").observedGeneration, statusOf("users").revision], [2, 7]);
  });

  it("writes the refusal's sentence and path, who claims the same, and who changed it since", async () => {
    api.put(policies, policy("all", { policy: shared }));
    api.put(policies, policy("wrong", { service: "a", policy: { routes: [{ path: "/a", tmeout: 1 }] } }));
    api.put(policies, policy("one", { service: "b", policy: layer("/1") }));
    api.put(policies, policy("two", { service: "b", policy: layer("/2") }));
    api.put(policies, policy("both", { service: "c", policy: shared, document: "{}" }));
    api.put(
      policies,
      policy("odd", { service: "d", policy: shared }, { "outrigger.dev/on-delete": "maybe" }),
    );
    run();
    await becomes("all", "Applied");
    await becomes("wrong", "Refused");
    assert.deepEqual(
      statusOf("wrong").problems?.map(({ path }) => path),
      ["apiVersion", "routes[0].tmeout"],
    );
    assert.match(
      synced("wrong")?.message ?? "",
      /^refused: apiVersion: .* \(and 1 more\); what is in force stays$/,
    );
    for (const name of ["one", "two"]) {
      assert.equal(synced(name)?.reason, "ClaimedTwice");
      assert.match(
        synced(name)?.message ?? "",
        /claimed by OutriggerPolicy demo\/one and OutriggerPolicy demo\/two/,
      );
    }
    assert.match(synced("both")?.message ?? "", /either policy .* or document/);
    assert.match(synced("odd")?.message ?? "", /on-delete"\]: must be keep or remove/);
    assert.deepEqual((await redis.cli.keys("outrigger:policy*")).sort(), ["outrigger:policy"]);

    const since = synced("all")?.lastTransitionTime;
    await redis.cli.set("outrigger:policy", '{"apiVersion":"outrigger/v1"}');
    await becomes("all", "ChangedByOthers");
    assert.match(synced("all")?.message ?? "", /changed since revision 1 .*by a plain SET or DEL/);
    assert.ok(since !== undefined && (synced("all")?.lastTransitionTime ?? "") >= since);
    api.put(policies, policy("all", { policy: { ...shared, plugins: ["transform"] } }));
    await becomes("all", "Applied", 2);
    api.delete(policies, "two");
    await becomes("one", "Applied");
  });

  it("removes a layer only where its object says so, after relisting, too", async () => {
    const said = run();
    api.put(policies, policy("all", { policy: shared }));
    api.put(policies, policy("kept", { service: "kept", policy: layer("/a") }));
    api.put(
      policies,
      policy("gone", { service: "gone", policy: layer("/a") }, { "outrigger.dev/on-delete": "remove" }),
    );
    await becomes("kept", "Applied");
    await becomes("gone", "Applied");
    api.bookmark();
    api.delete(policies, "kept");
    assert.match(String((await said(/demo\/kept.*and is kept/))["kept"]), /its last revision stays in force/);
    // Nobody watches while it goes, and the events are forgotten: 410, and a new list.
    const lists = () => api.asked.filter((each) => each.startsWith(`GET ${policies}?limit`)).length;
    const before = lists();
    api.refuses = { status: 500, message: "etcdserver: leader changed" };
    api.endWatches();
    const broken = await said(/leader changed/);
    assert.match(
      String(broken["problem"]),
      /API server 127\.0\.0\.1:\d+: answers 500: etcdserver: leader changed/,
    );
    api.delete(policies, "gone");
    api.forget();
    api.refuses = undefined;
    await said(/demo\/gone.*was removed/);
    assert.ok(lists() > before);
    assert.deepEqual((await redis.cli.keys("outrigger:policy:*")).sort(), ["outrigger:policy:kept"]);
    await said(/the source can be read again/);
  });

  it("reads token and authorities anew, and says what it may not", async () => {
    const said = run();
    api.put(policies, policy("all", { policy: shared }));
    await becomes("all", "Applied");
    api.token = "second";
    api.endWatches();
    await said(/answers 401: Unauthorized/);
    api.writeToken("second");
    await said(/the source can be read again/);
    // Whoever answers in the API server's place gets no token.
    api.writeAuthority(makeCertificate().cert);
    const asked = api.asked.length;
    api.endWatches();
    await said(/self-signed certificate/);
    assert.equal(api.asked.length, asked);
    api.writeAuthority();
    await eventually("watched again", () => api.watches === 2, 8_000);
    api.refuses = {
      status: 403,
      message: "outriggerpolicies.outrigger.dev is forbidden: cannot list resource",
    };
    api.endWatches();
    assert.match(String((await said(/forbidden/))["problem"]), /answers 403: outriggerpolicies/);
    assert.deepEqual(await inRedis("policy"), shared);
  });

  it("says when a status cannot be written, and which keys are no policies by their names", async () => {
    api.refusesStatus = { status: 500, message: "failed calling webhook" };
    api.put(policies, policy("all", { policy: shared }));
    api.put(policies, policy("more", { service: "more", policy: layer("/a") }));
    api.put(configMaps, configMap("fleet", { "users.yaml": "{}", notes: "none" }));
    const said = run();
    const { msg, problem } = await said(/status cannot be written/);
    assert.equal(msg, "policies are synchronised, but their status cannot be written");
    assert.match(String(problem), /^the status of OutriggerPolicy demo\/more: .*failed calling webhook$/);
    await said(/neither policy\.yaml nor policy\.<service>\.yaml: fleet users\.yaml"/);
    api.refusesStatus = undefined;
    await becomes("all", "Applied");
    await becomes("more", "Applied");
  });

  it("lists ever more slowly what is forgotten as soon as it is listed", async () => {
    api.forgetsAll = true;
    const times: number[] = [];
    const list = new WatchedList({
      api: new KubernetesApi(clusterIn(api.env, api.serviceAccount)),
      path: policies,
      name: "policies",
      onChange: () => void times.push(performance.now()),
      backOffMs: 20,
      random: () => 0.5,
    });
    const stop = new AbortController();
    const end = list.run(stop.signal);
    await eventually("listed", () => times.length >= 6, 8_000);
    stop.abort();
    await end;
    assert.ok((times[5] ?? 0) - (times[4] ?? 0) > 200, String(times));
  });

  it("goes by ConfigMaps alone in a cluster without the kind, also once", async () => {
    api.kinds.delete(policies);
    api.put(configMaps, configMap("fleet", { "policy.json": JSON.stringify(shared) }));
    const args = ["sync", "--once", "--service-account", api.serviceAccount];
    const { code, stdout, stderr } = await outrigger(args, { REDIS_URL: redis.url, ...api.env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^ConfigMap demo\/fleet policy\.json: the shared policy is at revision 1/);
    const said = run();
    const { health } = (await said(/sync runs/)) as { health: { port: number } };
    await eventually(
      "ready",
      async () => (await fetch(`http://127.0.0.1:${health.port}/readyz`)).status === 200,
    );
    const ready = await (await fetch(`http://127.0.0.1:${health.port}/readyz?verbose`)).text();
    assert.match(ready, /\[\+\] source: the cluster has no OutriggerPolicy \(crd\.yaml\)/);
  });
});
