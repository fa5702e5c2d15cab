// deploy/kubernetes.yaml: it contains nothing that Kubernetes does not know, nothing is missing that keeps a sidecar
// safe, and its parts fit together.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Deployment, type IDeployment } from "kubernetes-models/apps/v1";
import { NetworkPolicy, type INetworkPolicy } from "kubernetes-models/networking.k8s.io/v1";
import { type IPodDisruptionBudget, PodDisruptionBudget } from "kubernetes-models/policy/v1";
import { ConfigMap, type IConfigMap, type IService, Service, ServiceAccount } from "kubernetes-models/v1";
import { parse, parseAllDocuments } from "yaml";
import { loadConfig } from "../../src/app/environment.ts";
import { settings } from "../../src/config/settings.ts";
import { root } from "../support/dockerfile.ts";
import { compilerSays } from "../support/kubernetes.ts";

/** In the order in which they stand in the file. */
const kinds = [
  { model: ServiceAccount, from: "v1" },
  { model: ConfigMap, from: "v1" },
  { model: Deployment, from: "apps/v1" },
  { model: Service, from: "v1" },
  { model: PodDisruptionBudget, from: "policy/v1" },
  { model: NetworkPolicy, from: "networking.k8s.io/v1" },
] as const;

const documents = parseAllDocuments(readFileSync(join(root, "deploy/kubernetes.yaml"), "utf8"), {
  strict: true,
}).map((document) => {
  assert.deepEqual([...document.errors, ...document.warnings], []);
  return document.toJS() as { kind: string };
});
const [, configMap, deployment, service, budget, networkPolicy] = documents as unknown as [
  object,
  IConfigMap,
  IDeployment,
  IService,
  IPodDisruptionBudget,
  INetworkPolicy,
];
const pod = deployment.spec?.template.spec;
const [sidecar] = pod?.initContainers ?? [];
const [app] = pod?.containers ?? [];
assert.ok(pod && sidecar && app);
const selector = { "app.kubernetes.io/name": "sample" };

function problemsOf(objects: readonly object[]): string {
  const typed = objects.map((object, i) => ({
    object,
    kind: kinds[i]?.model.kind ?? "",
    from: kinds[i]?.from ?? "",
  }));
  return compilerSays(typed);
}

test("the file holds these objects, valid for their kinds", () => {
  assert.deepEqual(
    documents.map(({ kind }) => kind),
    kinds.map(({ model }) => model.kind),
  );
  for (const [i, document] of documents.entries()) {
    const { model: Model } = kinds[i] as (typeof kinds)[number];
    new Model(document as never).validate();
  }
});

test("no field is unknown, of another type or missing", () => {
  assert.equal(problemsOf(documents), "");
});

test("that check sees an unknown field, a wrong type and a missing one", () => {
  const [account = {}, config = {}] = documents;
  const withSpec = (spec: object): object => ({ ...deployment, spec });
  const { selector: _, ...unselected } = deployment.spec ?? {};
  for (const [broken, said] of [
    [withSpec({ ...deployment.spec, replica: 3 }), /'"replica"' does not exist/],
    [withSpec({ ...deployment.spec, paused: "no" }), /'string' is not assignable/],
    [withSpec(unselected), /Property '"?selector"?' is missing/],
  ] as const) {
    assert.match(problemsOf([account, config, broken]), said);
  }
});

test("the sidecar is a native one: an init container that stays, ready before the app starts", () => {
  assert.equal(sidecar.restartPolicy, "Always");
  assert.deepEqual(sidecar.startupProbe?.httpGet, { path: "/readyz", port: "admin" });
  assert.deepEqual(sidecar.readinessProbe?.httpGet, { path: "/readyz", port: "admin" });
  assert.deepEqual(sidecar.livenessProbe?.httpGet, { path: "/livez", port: "admin" });
  assert.equal(app.lifecycle?.preStop?.sleep?.seconds, 5);
});

test("its environment is one that the sidecar starts with", () => {
  const env: Record<string, string> = {};
  for (const { name, value } of sidecar.env ?? []) env[name] = value ?? "from-a-field";
  const config = loadConfig(env, (path) => {
    assert.equal(path, "/run/secrets/redis/url");
    return "redis://sidecar:secret@redis:6379";
  });
  assert.equal(config.redis?.username, "sidecar");
  const graceMs = (pod.terminationGracePeriodSeconds ?? 0) * 1000;
  assert.ok(graceMs > 5000 + config.drainMs + 5000, "the drain fits into the grace period");
});

test("every file that the environment names lies on a mounted volume", () => {
  const mounts = new Map(sidecar.volumeMounts?.map(({ name, mountPath }) => [mountPath, name]));
  const volumes = new Set(pod.volumes?.map(({ name }) => name));
  const paths = (sidecar.env ?? []).flatMap(({ name, value = "" }) =>
    /_(FILE|DIR)$/.test(name) ? value : [],
  );
  assert.equal(paths.length, 3);
  for (const path of paths) {
    const mount = [...mounts.keys()].find((each) => `${path}/`.startsWith(`${each}/`));
    assert.ok(mount !== undefined && volumes.has(mounts.get(mount) ?? ""), path);
  }
  assert.equal(mounts.size, volumes.size);
});

test("the policy it begins with is one", () => {
  const policy = parse(configMap.data?.["policy.yaml"] ?? "") as { apiVersion: string };
  assert.equal(policy.apiVersion, "outrigger/v1");
});

test("no container may be root, write its file system, gain privileges or fill the node", () => {
  assert.equal(pod.securityContext?.runAsNonRoot, true);
  assert.ok((pod.securityContext?.runAsUser ?? 0) > 0);
  assert.deepEqual(pod.securityContext?.seccompProfile, { type: "RuntimeDefault" });
  for (const { name, securityContext, resources } of [sidecar, app]) {
    assert.deepEqual(
      securityContext,
      { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } },
      name,
    );
    assert.ok(
      resources?.requests?.["cpu"] && resources.requests["memory"] && resources.limits?.["memory"],
      name,
    );
  }
  assert.equal(pod.automountServiceAccountToken, false);
  assert.equal(
    (documents[0] as { automountServiceAccountToken?: boolean }).automountServiceAccountToken,
    false,
  );
});

test("no secret stands in the file, and no image is left to chance", () => {
  assert.ok(documents.every(({ kind }) => kind !== "Secret"));
  for (const { image } of [sidecar, app]) assert.match(image ?? "", /:\d+\.\d+\.\d+$/);
});

test("ports are the sidecar's defaults, and everything finds them by name", () => {
  const portOf = (setting: { default: string | null }): number => Number(setting.default?.replace(/.*:/, ""));
  assert.deepEqual(
    sidecar.ports?.map(({ name, containerPort }) => [name, containerPort]),
    [
      ["http", portOf(settings.listen)],
      ["admin", portOf(settings.admin)],
    ],
  );
  assert.equal(app.ports, undefined);
  assert.deepEqual(
    service.spec?.ports?.map(({ targetPort }) => targetPort),
    ["http"],
  );
  const reachable = networkPolicy.spec?.ingress?.flatMap(({ ports = [] }) => ports.map(({ port }) => port));
  assert.deepEqual(reachable, ["http", "admin"]);
});

test("all of it is about the same pods", () => {
  assert.deepEqual(deployment.spec?.template.metadata?.labels, selector);
  for (const found of [
    deployment.spec?.selector.matchLabels,
    service.spec?.selector,
    budget.spec?.selector?.matchLabels,
    networkPolicy.spec?.podSelector?.matchLabels,
    pod.topologySpreadConstraints?.[0]?.labelSelector?.matchLabels,
  ]) {
    assert.deepEqual(found, selector);
  }
});

test("the patch that takes the service's port has its init container first, with the rights it needs and no others", () => {
  const patch = parse(readFileSync(join(root, "deploy/intercept/kubernetes.yaml"), "utf8")) as IDeployment;
  const [intercept, rest] = patch.spec?.template.spec?.initContainers ?? [];
  assert.ok(intercept && rest);
  // Merged by name, in the patch's order, as kubectl does.
  const merged = { ...sidecar, env: [...(sidecar.env ?? []), ...(rest.env ?? [])] };
  const spec = { ...pod, initContainers: [intercept, merged] };
  const template = { ...deployment.spec?.template, spec };
  const patched = { ...deployment, spec: { ...deployment.spec, template } } as IDeployment;
  new Deployment(patched).validate();
  assert.equal(rest.name, sidecar.name);
  assert.deepEqual(intercept.securityContext?.capabilities, { drop: ["ALL"], add: ["NET_ADMIN"] });
  const valueOf = (name: string) => intercept.env?.find((each) => each.name === name)?.value;
  const upstream = sidecar.env?.find(({ name }) => name === "OUTRIGGER_UPSTREAM")?.value;
  assert.equal(valueOf("OUTRIGGER_UPSTREAM"), upstream);
  assert.equal(valueOf("OUTRIGGER_LISTEN"), rest.env?.find(({ name }) => name === "OUTRIGGER_LISTEN")?.value);
});

test("Terraform's regions are in its own form, and their relay has settings that there are", (t) => {
  const folder = join(root, "deploy/terraform");
  const relay = readFileSync(join(folder, "region/relay.tf"), "utf8");
  const named = [...relay.matchAll(/name += "([A-Z_]+?)(?:_FILE)?"/g)].map(([, name]) => name);
  assert.deepEqual(named, ["REDIS_URL", "OUTRIGGER_RELAY_FROM", "OUTRIGGER_POLICY_KEYS"]);
  const known = new Set<string | undefined>(Object.values(settings).map(({ env }) => env));
  assert.deepEqual(
    named.filter((name) => !known.has(name)),
    [],
  );
  const { error, status, stdout } = spawnSync("terraform", ["fmt", "-check", "-recursive", "-diff", folder], {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], CHECKPOINT_DISABLE: "1" },
  });
  if (error === undefined) assert.equal(status, 0, stdout);
  else t.diagnostic(`TERRAFORM IS NOT HERE, its form is not checked: ${error.message}`);
});
