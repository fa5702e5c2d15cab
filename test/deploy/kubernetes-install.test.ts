// The manifests that install Outrigger in a cluster, besides deploy/kubernetes.yaml: Kubernetes knows every object, and
// objects that belong together fit.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Ajv } from "ajv";
import type { IPodTemplateSpec } from "kubernetes-models/v1";
import { parse, parseAllDocuments } from "yaml";
import { loadConfig } from "../../src/app/environment.ts";
import { sidecarContainer, sidecarVolumes } from "../../src/injector/sidecar-container.ts";
import { configMapLabel } from "../../src/sync/kubernetes-source.ts";
import { policyOf } from "../../src/sync/policy-object.ts";
import { statusOf } from "../../src/sync/status.ts";
import { root } from "../support/dockerfile.ts";
import { compilerSays, type Typed } from "../support/kubernetes.ts";

interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

function objectsIn(text: string): KubernetesObject[] {
  return parseAllDocuments(text, { strict: true }).map((document) => {
    assert.deepEqual([...document.errors, ...document.warnings], []);
    return document.toJS() as KubernetesObject;
  });
}
const read = (path: string): string => readFileSync(join(root, "deploy", path), "utf8");

/** kubernetes-models has the kinds of Kubernetes by the names of their groups. */
const typed = (object: KubernetesObject): Typed => ({
  kind: object.kind,
  from: object.apiVersion,
  object,
});

const [crd] = objectsIn(read("kubernetes/sync/crd.yaml"));
const sync = objectsIn(read("kubernetes/sync/sync.yaml"));
const examples = objectsIn(read("kubernetes/sync/example.yaml"));
const ofKind = (objects: readonly KubernetesObject[], kind: string): unknown =>
  objects.find((object) => object.kind === kind);

/** What the component makes of the example, by kubectl's Kustomize; a text = why that is not tried here. */
function renderedExample(): KubernetesObject[] | string {
  try {
    const args = ["kustomize", join(root, "deploy/kustomize/example")];
    return objectsIn(execFileSync("kubectl", args, { encoding: "utf8", stdio: "pipe" }));
  } catch (error) {
    const said = String((error as { stderr?: unknown }).stderr ?? error).split("\n")[0];
    // Before 1.21 kubectl has a Kustomize without components.
    return `THE KUSTOMIZE COMPONENT IS NOT RENDERED HERE: ${said}`;
  }
}
const rendered = renderedExample();

it("every object has the fields of its kind, and no other", () => {
  const [, configMap] = examples;
  assert.ok(crd !== undefined && configMap !== undefined);
  const built = typeof rendered === "string" ? [] : rendered;
  assert.equal(compilerSays([crd, ...sync, configMap, ...built].map(typed)), "");
});

describe("OutriggerPolicy", () => {
  const { spec } = crd as unknown as {
    spec: { versions: { schema: { openAPIV3Schema: { properties: { spec: object; status: object } } } }[] };
  };
  const { properties } = spec.versions[0]?.schema.openAPIV3Schema ?? { properties: { spec: {}, status: {} } };
  const ajv = new Ajv({ strict: false, validateFormats: false });

  it("takes the example, and sync reads it", () => {
    const [policy] = examples as unknown as [{ spec: { policy: object } }];
    assert.ok(ajv.validate(properties.spec, policy.spec), ajv.errorsText());
    assert.deepEqual(JSON.parse(Buffer.from(policyOf(policy).bytes).toString()), policy.spec.policy);
    assert.equal(policyOf(policy).flaw, undefined);
    assert.ok(read("kubernetes/sync/example.yaml").includes(`${configMapLabel}: "true"`));
  });

  it("has every field of the status that sync writes: others would be pruned, and written again for ever", () => {
    const object = { metadata: { name: "a", uid: "1", resourceVersion: "1", generation: 3 } };
    const declared = {
      origin: "a",
      service: "a",
      bytes: Buffer.from("{}"),
      format: "json",
      reason: "",
    } as const;
    const outcome = {
      declared: { ...declared, whenGone: "keep" },
      state: "in-force",
      message: "m",
      problems: [{ path: "routes[0]", message: "no" }],
      revision: 3,
      digest: "d",
      warnings: ["w"],
      spread: { concerned: 1, inForce: 0, refused: ["a/b: no"], namesakes: [] },
    } as const;
    const status = statusOf(object, outcome, 0);
    assert.ok(ajv.validate(properties.status, status), ajv.errorsText());
    const strictly = JSON.parse(
      JSON.stringify(properties.status).replaceAll(
        '"type":"object"',
        '"type":"object","additionalProperties":false',
      ),
    ) as object;
    assert.ok(ajv.validate(strictly, status), ajv.errorsText());
    assert.equal(ajv.validate(strictly, { ...status, more: 1 }), false);
    assert.equal(statusOf({ ...object, status }, outcome, 1), undefined);
  });
});

describe("deploy/kubernetes/sync", () => {
  it("may do in the cluster what sync asks for, and nothing else", () => {
    const { rules } = ofKind(sync, "Role") as { rules: { resources: string[]; verbs: string[] }[] };
    assert.deepEqual(
      rules.map(({ resources, verbs }) => `${verbs.join(",")} ${resources.join(",")}`),
      ["list,watch outriggerpolicies", "patch outriggerpolicies/status", "list,watch configmaps"],
    );
  });

  it("runs as nobody in particular, with a root that is read-only, and is asked where it listens", () => {
    const { spec } = ofKind(sync, "Deployment") as {
      spec: {
        template: {
          spec: {
            securityContext: object;
            containers: {
              args: string[];
              ports: object[];
              securityContext: object;
              readinessProbe: object;
            }[];
          };
        };
      };
    };
    const pod = spec.template.spec;
    const [container] = pod.containers;
    assert.deepEqual(container?.args, ["sync"]);
    assert.deepEqual(container?.ports, [{ name: "admin", containerPort: 9901, protocol: "TCP" }]);
    assert.match(JSON.stringify(pod.securityContext), /"runAsNonRoot":true,"runAsUser":65532/);
    assert.deepEqual(container?.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
  });
});

interface Workload extends KubernetesObject {
  readonly spec: {
    readonly template?: IPodTemplateSpec;
    readonly jobTemplate?: { readonly spec: { readonly template: IPodTemplateSpec } };
  };
}
const templateOf = (object: KubernetesObject): IPodTemplateSpec => {
  const { spec } = object as Workload;
  const template = spec.template ?? spec.jobTemplate?.spec.template;
  assert.ok(template?.spec, object.metadata.name);
  return template;
};

/** Of a service at that port, as the injector makes it; its name is the pod's label here, and without a policy file. */
function injected(upstreamPort: number): { container: Record<string, unknown>; volumes: object[] } {
  const spec = {
    wanted: {},
    service: "",
    upstreamPort,
    listenPort: 8080,
    adminPort: 9901,
    portName: "outrigger",
    image: "registry.example/outrigger:0.1.0",
    redisSecret: "outrigger-redis",
  };
  return { container: sidecarContainer(spec), volumes: sidecarVolumes(spec) };
}

describe("deploy/kustomize", () => {
  const name = { fieldRef: { fieldPath: "metadata.labels['app.kubernetes.io/name']" } };

  it("has one sidecar for all kinds, and one that starts", () => {
    const podIn = (file: string) =>
      templateOf(parse(read(`kustomize/component/${file}`)) as KubernetesObject);
    assert.deepEqual(podIn("workload.yaml"), podIn("cronjob.yaml"));
    const [sidecar] = podIn("workload.yaml").spec?.initContainers ?? [];
    const env = Object.fromEntries((sidecar?.env ?? []).map(({ name, value = "a-label" }) => [name, value]));
    assert.equal(loadConfig(env, () => "redis://redis").service, "a-label");
    // A pod without the label: Kubernetes gives the variable no text, and the sidecar says so.
    assert.throws(
      () => loadConfig({ ...env, OUTRIGGER_SERVICE: "" }, () => "redis://redis"),
      /OUTRIGGER_SERVICE: is empty/,
    );
  });

  it("lets nobody in but to the sidecar's ports", () => {
    const { spec } = parse(read("kustomize/network-policy/network-policy.yaml")) as {
      spec: { ingress: { from?: object; ports: { port: number }[] }[] };
    };
    const open = spec.ingress.map(({ from, ports }) => [from !== undefined, ports.map(({ port }) => port)]);
    const ports = (injected(3000).container["ports"] as { containerPort: number }[]).map(
      ({ containerPort }) => containerPort,
    );
    assert.deepEqual(open, [
      [false, [ports[0]]],
      [true, [ports[1]]],
    ]);
  });

  it(
    "gives every workload with the label what the injector gives",
    { skip: typeof rendered === "string" && rendered },
    () => {
      const found = (rendered as KubernetesObject[]).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
      assert.deepEqual(found, [
        "Deployment orders",
        "Deployment plain",
        "StatefulSet ledger",
        "CronJob report",
        "Job import",
        "NetworkPolicy outrigger",
      ]);
      for (const object of rendered as KubernetesObject[]) {
        if (object.kind === "NetworkPolicy") continue;
        const { spec, metadata } = templateOf(object);
        const [sidecar, ...others] = spec?.initContainers ?? [];
        const reachedBy = metadata?.labels?.["outrigger.dev/reached-by"];
        assert.equal(reachedBy, object.metadata.name === "plain" ? undefined : "sidecar");
        if (object.metadata.name === "plain") {
          assert.deepEqual([sidecar, spec?.volumes], [undefined, undefined]);
          continue;
        }
        const isOrders = object.metadata.name === "orders";
        const { container, volumes } = injected(isOrders ? 4000 : 3000);
        const byName = (list: readonly object[] = []): Map<unknown, object> =>
          new Map(list.map((each) => [(each as { name: string }).name, each]));
        const { env, ...rest } = container;
        const { env: given, ...same } = sidecar as unknown as Record<string, unknown>;
        assert.deepEqual(same, rest, object.metadata.name);
        const wanted = byName(env as object[]).set("OUTRIGGER_SERVICE", {
          name: "OUTRIGGER_SERVICE",
          valueFrom: name,
        });
        assert.deepEqual(byName(given as object[]), wanted);
        assert.deepEqual(
          byName(spec?.volumes),
          byName([...volumes, ...(isOrders ? [{ name: "own", emptyDir: {} }] : [])]),
        );
        assert.deepEqual(
          others.map((each) => each.name),
          isOrders ? ["migrate"] : [],
        );
        // An injector in the cluster would refuse a second sidecar.
        assert.equal(metadata?.annotations?.["outrigger.dev/inject"], "false");
      }
    },
  );
});
