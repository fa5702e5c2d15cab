// What installs Outrigger in a cluster beside deploy/kubernetes.yaml: every object is one that Kubernetes knows, and what
// belongs together fits.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Ajv } from "ajv";
import { parseAllDocuments } from "yaml";
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

it("every object has the fields of its kind, and no other", () => {
  const [, configMap] = examples;
  assert.ok(crd !== undefined && configMap !== undefined);
  assert.equal(compilerSays([crd, ...sync, configMap].map(typed)), "");
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
      spread: { concerned: 1, inForce: 0, refused: ["a/b: no"] },
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
