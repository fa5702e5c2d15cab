// deploy/helm/outrigger. Helm is not available everywhere, so this check does not need it: a renderer for the part of
// Go's templates that the chart uses (anything else is an error) makes the chart's objects. Where `helm` is on the
// path, it must make the same objects.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, it } from "node:test";
import { Ajv } from "ajv";
import { parse, parseAllDocuments } from "yaml";
import packageJson from "../../package.json" with { type: "json" };
import { loadConfig } from "../../src/app/environment.ts";
import { sidecarContainer, sidecarVolumes } from "../../src/injector/sidecar-container.ts";
import { findProgram } from "../bench/machine.ts";
import { root } from "../support/dockerfile.ts";
import { Templates } from "../support/go-template.ts";
import { compilerSays } from "../support/kubernetes.ts";

type Values = Record<string, unknown>;
interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    labels: Record<string, string>;
    annotations?: Record<string, string>;
    namespace?: string;
  };
}

const chart = join(root, "deploy/helm/outrigger");
const read = (path: string): string => readFileSync(join(chart, path), "utf8");
const files = globSync("templates/*", { cwd: chart }).toSorted();
const sources = files.map(read);
const values = parse(read("values.yaml")) as Values;
const about = parse(read("Chart.yaml")) as { name: string; version: string; appVersion: string };
const schema = JSON.parse(read("values.schema.json")) as object;
const fits = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile(schema);
const namespace = "outrigger-system";

function merged(base: unknown, over: unknown): unknown {
  const isMap = (value: unknown): value is Values =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isMap(base) || !isMap(over)) return over;
  const names = new Set([...Object.keys(base), ...Object.keys(over)]);
  return Object.fromEntries(
    [...names].map((name) => [name, name in over ? merged(base[name], over[name]) : base[name]]),
  );
}

const objectsIn = (text: string): KubernetesObject[] =>
  parseAllDocuments(text, { strict: true })
    .map((document) => {
      assert.deepEqual([...document.errors, ...document.warnings], [], text);
      return document.toJS() as KubernetesObject | null;
    })
    .filter((object) => object !== null);

/** @returns the objects, and what is said after an installation */
function rendered(given: Values): { objects: KubernetesObject[]; notes: string } {
  const all = merged(values, given);
  assert.ok(fits(all), JSON.stringify(fits.errors));
  const Chart = { Name: about.name, Version: about.version, AppVersion: about.appVersion };
  const Release = { Name: "outrigger", Namespace: namespace, Service: "Helm", Revision: 1 };
  const texts = new Templates(sources).render({ Values: all, Chart, Release });
  const notes = texts[files.indexOf("templates/NOTES.txt")] ?? "";
  const objects = texts.flatMap((text, at) => (files[at]?.endsWith(".yaml") ? objectsIn(text) : []));
  return { objects, notes };
}

const both = { injector: { enabled: true }, sync: { enabled: true } };

describe("the chart's values", () => {
  it("fit their schema, which knows every one and refuses others", () => {
    assert.ok(fits(values), JSON.stringify(fits.errors));
    for (const wrong of [
      { injectr: {} },
      { sync: { enabeld: true } },
      { sidecar: { listenPort: "8080" } },
      { sidecar: { listenPort: 70_000 } },
      { sync: { onDelete: "drop" } },
      { redisSecret: "not a name" },
      { sync: { every: "soon" } },
      { injector: { certificate: "none" } },
    ])
      assert.equal(fits(merged(values, wrong)), false, JSON.stringify(wrong));
  });

  it("are those that the templates use, and the schema's", () => {
    const used = new Set(
      sources.flatMap((source) =>
        [...source.matchAll(/(?:\.Values|\$values|\.values|\$(?=sidecar|image))\.?((?:\w+\.)*\w+)/g)].map(
          ([, path = ""]) => path,
        ),
      ),
    );
    const has = (path: string): boolean => {
      const find = (value: unknown): unknown =>
        path.split(".").reduce((now, name) => (Object(now) as Values)[name], value);
      return find(values) !== undefined;
    };
    // `.Values.outrigger` is of a chart that depends on this one.
    assert.deepEqual(
      [...used].filter((path) => path !== "outrigger" && !has(path)),
      [],
    );
    const { properties } = schema as { properties: Record<string, { properties?: object }> };
    for (const [name, value] of Object.entries(values)) {
      const inner = properties[name]?.properties;
      const leaves =
        inner === undefined ? [name] : Object.keys(value as object).map((leaf) => `${name}.${leaf}`);
      assert.deepEqual(
        leaves.filter((leaf) => !used.has(leaf)),
        [],
        "is used by no template",
      );
      if (inner !== undefined) assert.deepEqual(Object.keys(inner), Object.keys(value as object), name);
    }
  });
});

describe("the chart", () => {
  it("is of this version, with the CRD of deploy/kubernetes", () => {
    assert.deepEqual([about.version, about.appVersion], [packageJson.version, packageJson.version]);
    assert.equal(read("crds/crd.yaml"), readFileSync(join(root, "deploy/kubernetes/sync/crd.yaml"), "utf8"));
    const named = /default "([^"]+)"\) -}}/.exec(read("templates/_names.tpl"))?.[1];
    assert.equal(named, packageJson.version);
  });

  it("installs nothing unless it is asked to", () => {
    const { objects, notes } = rendered({});
    assert.deepEqual(objects, []);
    assert.match(notes, /Nothing is installed: set injector\.enabled or sync\.enabled/);
    assert.doesNotMatch(rendered(both).notes, /Nothing is installed/);
  });

  for (const [certificate, file] of [
    ["self-made", "injector/certificate.yaml"],
    ["cert-manager", "injector/cert-manager.yaml"],
  ] as const)
    it(`installs what deploy/kubernetes has, its certificate ${certificate}`, () =>
      sameAsManifests(certificate, file));

  function sameAsManifests(certificate: string, certificateFile: string): void {
    const folder = join(root, "deploy/kubernetes");
    const manifests = ["injector/injector.yaml", certificateFile, "sync/sync.yaml"]
      .flatMap((file) =>
        objectsIn(readFileSync(join(folder, file), "utf8").replaceAll("outrigger-policies", namespace)),
      )
      .filter(({ kind }) => kind !== "Namespace");
    const plain = (objects: readonly KubernetesObject[]): Map<string, unknown> =>
      new Map(
        objects.map((object) => {
          const { annotations: _, labels, namespace: _own, ...metadata } = object.metadata;
          const name = labels["app.kubernetes.io/name"];
          // A Job's is of one revision of the release.
          const told = metadata.name.replace(/-1$/, "");
          return [`${object.kind} ${told}`, { ...object, metadata: { ...metadata, name } }];
        }),
      );
    const { objects } = rendered({ ...both, injector: { enabled: true, certificate } });
    const found = plain(objects);
    const sync = found.get("Deployment outrigger-sync") as {
      spec: { template: { spec: { containers: { args: string[] }[] } } };
    };
    const [container] = sync.spec.template.spec.containers;
    assert.deepEqual(container?.args.splice(1), ["--every=30s", "--on-delete=keep"]);
    assert.deepEqual(found, plain(manifests));
    assert.equal(
      compilerSays(
        objects
          .filter(({ apiVersion }) => !apiVersion.startsWith("cert-manager"))
          .map((object) => ({ kind: object.kind, from: object.apiVersion, object })),
      ),
      "",
    );
    const webhooks = objects.find(({ kind }) => kind === "MutatingWebhookConfiguration");
    const asks = { "cert-manager.io/inject-ca-from": `${namespace}/outrigger-injector` };
    assert.deepEqual(webhooks?.metadata.annotations, certificate === "cert-manager" ? asks : undefined);
    for (const { metadata, kind } of objects)
      if (!/^(?:MutatingWebhook|ClusterRole)/.test(kind)) assert.equal(metadata.namespace, namespace, kind);
  }

  it("makes a certificate for the Secret that the injector mounts, in each revision anew", () => {
    const { objects } = rendered({
      imagePullSecrets: [{ name: "pull" }],
      injector: { enabled: true, tlsSecret: "webhook-tls" },
    });
    const jobs = objects.filter(({ kind }) => kind === "Job" || kind === "CronJob");
    assert.deepEqual(
      jobs.map(({ metadata }) => metadata.name),
      ["outrigger-injector-cert-1", "outrigger-injector-cert"],
    );
    for (const job of jobs) {
      assert.match(JSON.stringify(job), /"args":\["injector","cert","--secret=webhook-tls"\]/);
      assert.match(JSON.stringify(job), /"imagePullSecrets":\[\{"name":"pull"\}\]/);
    }
    const role = objects.find(({ kind }) => kind === "Role");
    assert.match(JSON.stringify(role), /"resourceNames":\["webhook-tls"\]/);
  });

  it("takes what is chosen", () => {
    const sync = {
      enabled: true,
      strict: true,
      selfHeal: true,
      onDelete: "remove",
      signingKeySecret: "signer",
      env: [{ name: "OUTRIGGER_UPSTREAM_ALLOW", value: "a:1" }],
    };
    const given = {
      image: { repository: "r.example/o", tag: "2" },
      imagePullSecrets: [{ name: "pull" }],
      redisSecret: "",
    };
    const { objects } = rendered({
      ...given,
      sync,
      injector: {
        enabled: true,
        certificate: "yours",
        caBundle: "QQ==",
        exempt: ["infra"],
        interceptImage: "r.example/i:2",
      },
    });
    const text = JSON.stringify(objects);
    for (const said of [
      '"--strict","--self-heal","--key=/run/secrets/signing/key"',
      '"secretName":"signer"',
      '"name":"OUTRIGGER_UPSTREAM_ALLOW","value":"a:1"',
      '"image":"r.example/o:2"',
      '"--image=r.example/o:2","--redis-secret=none"',
      '"--intercept-image=r.example/i:2"',
      '"imagePullSecrets":[{"name":"pull"}]',
      '"caBundle":"QQ=="',
      `"values":["infra","${namespace}"]`,
    ])
      assert.ok(text.includes(said), said);
    assert.deepEqual(
      objects.filter(({ kind }) => /^(?:Certificate|Job|CronJob)$/.test(kind)),
      [],
    );
    assert.throws(
      () => rendered({ injector: { enabled: true, certificate: "yours" } }),
      /injector\.caBundle: the authority of/,
    );
  });
});

describe("the named templates", () => {
  const templates = new Templates(sources);
  const make = (name: string, given: Values, more: Values = {}): unknown =>
    parse(templates.run(`outrigger.${name}`, { values: merged(values, given), ...more }));

  it("give the sidecar that the injector gives", () => {
    const given = {
      sidecar: {
        policyConfigMap: "orders-policy",
        env: [{ name: "OUTRIGGER_TRUSTED_PROXIES", value: "10.0.0.0/8" }],
      },
    };
    const spec = {
      wanted: { "policy-config-map": "orders-policy", "log-level": "info", "trusted-proxies": "10.0.0.0/8" },
      service: "orders",
      upstreamPort: 4000,
      listenPort: 8080,
      adminPort: 9901,
      portName: "http",
      image: `outrigger:${packageJson.version}`,
      redisSecret: "outrigger-redis",
    } as const;
    const [sidecar] = make("sidecar", given, {
      service: "orders",
      upstreamPort: 4000,
      portName: "http",
    }) as Values[];
    const byName = (list: unknown) => new Map((list as { name: string }[]).map((each) => [each.name, each]));
    const { env, ...container } = sidecarContainer(spec);
    const { env: own, ...same } = sidecar ?? {};
    assert.deepEqual(same, container);
    assert.deepEqual(byName(own), byName(env));
    assert.deepEqual(make("volumes", given), sidecarVolumes(spec));
    const variables = Object.fromEntries(
      (own as { name: string; value?: string }[]).map(({ name, value = "pod-1" }) => [name, value]),
    );
    assert.equal(loadConfig(variables, () => "redis://redis").service, "orders");
    assert.throws(() => make("sidecar", {}), /say the service/);
  });

  it("make pods of every kind that Kubernetes takes", () => {
    const pod = {
      metadata: { labels: { app: "a" }, annotations: make("podAnnotations", {}) as object },
      spec: {
        restartPolicy: "Never",
        initContainers: make("sidecar", { redisSecret: "" }, { service: "a" }),
        containers: [{ name: "app", image: "app:1" }],
        volumes: make("volumes", { redisSecret: "" }),
      },
    };
    const selector = { matchLabels: { app: "a" } };
    const objects = [
      {
        kind: "Deployment",
        from: "apps/v1",
        object: { apiVersion: "apps/v1", kind: "Deployment", spec: { selector, template: pod } },
      },
      {
        kind: "StatefulSet",
        from: "apps/v1",
        object: {
          apiVersion: "apps/v1",
          kind: "StatefulSet",
          spec: { selector, serviceName: "a", template: pod },
        },
      },
      {
        kind: "Job",
        from: "batch/v1",
        object: { apiVersion: "batch/v1", kind: "Job", spec: { template: pod } },
      },
      {
        kind: "CronJob",
        from: "batch/v1",
        object: {
          apiVersion: "batch/v1",
          kind: "CronJob",
          spec: { schedule: "0 4 * * *", jobTemplate: { spec: { template: pod } } },
        },
      },
    ];
    assert.equal(compilerSays(objects), "");
    assert.equal(JSON.stringify(pod).includes("redis"), false);
  });
});

const helm = findProgram("helm");
it(
  "is the same by Helm itself",
  { skip: helm === undefined && "THE CHART IS NOT RENDERED BY HELM HERE: there is none on the path" },
  () => {
    const options = ["--namespace", namespace, "--set", "injector.enabled=true,sync.enabled=true"];
    execFileSync(helm ?? "", ["lint", "--strict", chart, ...options], { stdio: "pipe" });
    const text = execFileSync(helm ?? "", ["template", "outrigger", chart, ...options], {
      encoding: "utf8",
      stdio: "pipe",
    });
    const names = (objects: readonly KubernetesObject[]) =>
      new Map(objects.map((object) => [`${object.kind} ${object.metadata.name}`, object]));
    assert.deepEqual(names(objectsIn(text)), names(rendered(both).objects));
  },
);

it("has balanced templates, and the renderer refuses others", () => {
  assert.deepEqual(files.map((file) => basename(file)).toSorted(), [
    "NOTES.txt",
    "_names.tpl",
    "_sidecar.tpl",
    "certificate.yaml",
    "injector.yaml",
    "sync.yaml",
  ]);
  for (const wrong of [
    "{{ if .a }}",
    "{{ end }}",
    "{{ .a",
    "{{ nowhere .a }}",
    "{{ (default 1 }}",
    "{{ range .a }}{{ end }}",
  ])
    assert.throws(() => new Templates([wrong]), wrong);
});
