// deploy/kubernetes/injector: Kubernetes accepts it, and its parts fit each other and the program.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  MutatingWebhookConfiguration,
  type IMutatingWebhookConfiguration,
} from "kubernetes-models/admissionregistration.k8s.io/v1";
import { Deployment, type IDeployment } from "kubernetes-models/apps/v1";
import { CronJob, type ICronJob, type IJob, Job } from "kubernetes-models/batch/v1";
import {
  ClusterRole,
  ClusterRoleBinding,
  type IClusterRole,
  type IRole,
  type IRoleBinding,
  Role,
  RoleBinding,
} from "kubernetes-models/rbac.authorization.k8s.io/v1";
import { NetworkPolicy, type INetworkPolicy } from "kubernetes-models/networking.k8s.io/v1";
import { PodDisruptionBudget, type IPodDisruptionBudget } from "kubernetes-models/policy/v1";
import { Namespace, type IService, Service, ServiceAccount } from "kubernetes-models/v1";
import { parseAllDocuments } from "yaml";
import { loadConfig } from "../../src/app/environment.ts";
import { reviewOptions } from "../../src/cli/injector.ts";
import { createProgram } from "../../src/cli/program.ts";
import { annotations } from "../../src/injector/annotations.ts";
import { refusalReasons } from "../../src/injector/refusal.ts";
import { root } from "../support/dockerfile.ts";
import { outrigger } from "../support/process.ts";
import { compilerSays } from "../support/kubernetes.ts";
import { makeCertificate } from "../support/certificate.ts";

type Manifest = {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
};
const folder = join(root, "deploy/kubernetes/injector");
const read = (file: string): Manifest[] =>
  parseAllDocuments(readFileSync(join(folder, file), "utf8"), { strict: true }).map((document) => {
    assert.deepEqual([...document.errors, ...document.warnings], [], file);
    return document.toJS() as Manifest;
  });

const models = {
  Namespace: [Namespace, "v1"],
  ServiceAccount: [ServiceAccount, "v1"],
  Deployment: [Deployment, "apps/v1"],
  Service: [Service, "v1"],
  PodDisruptionBudget: [PodDisruptionBudget, "policy/v1"],
  NetworkPolicy: [NetworkPolicy, "networking.k8s.io/v1"],
  MutatingWebhookConfiguration: [MutatingWebhookConfiguration, "admissionregistration.k8s.io/v1"],
  Job: [Job, "batch/v1"],
  CronJob: [CronJob, "batch/v1"],
  Role: [Role, "rbac.authorization.k8s.io/v1"],
  RoleBinding: [RoleBinding, "rbac.authorization.k8s.io/v1"],
  ClusterRole: [ClusterRole, "rbac.authorization.k8s.io/v1"],
  ClusterRoleBinding: [ClusterRoleBinding, "rbac.authorization.k8s.io/v1"],
} as const;

const objects = read("injector.yaml");
const certificates = read("certificate.yaml");
const reports = read("pods.yaml");
const find = (kind: keyof typeof models, among: readonly Manifest[] = objects): unknown => {
  const found = among.filter((each) => each.kind === kind);
  assert.equal(found.length, 1, kind);
  return found[0];
};
const deployment = find("Deployment") as IDeployment;
const pod = deployment.spec?.template.spec;
const [container] = pod?.containers ?? [];
const webhooks = (find("MutatingWebhookConfiguration") as IMutatingWebhookConfiguration).webhooks ?? [];
assert.ok(pod && container);

describe("the injector's manifests", () => {
  it("are valid for their kinds, without a field that Kubernetes does not know", () => {
    const typed = [...objects, ...certificates, ...reports].map((object) => {
      const [Model, from] = models[object.kind as keyof typeof models];
      new Model(object as never).validate();
      return { kind: object.kind, from, object };
    });
    assert.equal(compilerSays(typed), "");
  });

  it("start a program that takes their arguments and settings", async () => {
    const [command, ...args] = container.args ?? [];
    assert.equal(command, "injector");
    const program = await createProgram({ env: {}, out: () => {}, err: () => {} }, () => {});
    const injector = program.commands.find((each) => each.name() === "injector");
    const { unknown } = injector?.parseOptions([...args]) ?? {};
    assert.deepEqual(unknown, []);
    const options = injector?.opts<Parameters<typeof reviewOptions>[0]>();
    assert.ok(options && reviewOptions(options).exempt.has("outrigger-system"));
    assert.equal(options.image, container.image);
    const env = Object.fromEntries((container.env ?? []).map(({ name, value }) => [name, value ?? "pod-1"]));
    const { cert, key } = makeCertificate();
    const config = loadConfig(env, (path) => (path.endsWith(".key") ? key : cert));
    assert.deepEqual(config.listen, [{ host: "0.0.0.0", port: container.ports?.[0]?.containerPort }]);
    assert.ok((pod.terminationGracePeriodSeconds ?? 0) * 1000 > config.drainMs + 5000);
  });

  it("send the API server to it: by namespaces' labels, each with its own failurePolicy", () => {
    const service = find("Service") as IService;
    const selected = webhooks.map(({ failurePolicy, clientConfig, namespaceSelector }) => [
      namespaceSelector?.matchExpressions?.[0],
      failurePolicy,
      clientConfig.service?.path,
    ]);
    const label = (value: string) => ({ key: "outrigger.dev/inject", operator: "In", values: [value] });
    assert.deepEqual(selected, [
      [label("enabled"), "Fail", "/mutate"],
      [label("best-effort"), "Ignore", "/mutate/best-effort"],
    ]);
    for (const { clientConfig, namespaceSelector, rules, sideEffects, timeoutSeconds } of webhooks) {
      assert.equal(clientConfig.service?.name, service.metadata?.name);
      assert.equal(clientConfig.service?.namespace, service.metadata?.namespace);
      assert.equal(clientConfig.service?.port, service.spec?.ports?.[0]?.port);
      const [, others] = namespaceSelector?.matchExpressions ?? [];
      assert.equal(others?.operator, "NotIn");
      assert.deepEqual(others?.values, ["kube-system", "kube-public", "kube-node-lease", "outrigger-system"]);
      assert.deepEqual(
        rules?.map(({ operations, resources }) => [operations, resources]),
        [[["CREATE"], ["pods"]]],
      );
      assert.deepEqual([sideEffects, (timeoutSeconds ?? 30) <= 10], ["None", true]);
    }
  });

  it("keep it there: two of it, apart, one at least, without rights and without a way out", () => {
    assert.equal(deployment.spec?.replicas, 2);
    const labels = deployment.spec?.template.metadata?.labels;
    const budget = (find("PodDisruptionBudget") as IPodDisruptionBudget).spec;
    const network = (find("NetworkPolicy") as INetworkPolicy).spec;
    assert.equal(budget?.minAvailable, 1);
    for (const found of [
      deployment.spec?.selector.matchLabels,
      budget?.selector?.matchLabels,
      network?.podSelector?.matchLabels,
      (find("Service") as IService).spec?.selector,
      pod.topologySpreadConstraints?.[0]?.labelSelector?.matchLabels,
    ])
      assert.deepEqual(found, labels);
    assert.deepEqual([network?.policyTypes, network?.egress], [["Ingress", "Egress"], undefined]);
    assert.deepEqual(
      network?.ingress?.flatMap(({ ports = [] }) => ports.map(({ port }) => port)),
      ["webhook", "admin"],
    );
    assert.equal(pod.automountServiceAccountToken, false);
    assert.equal(pod.securityContext?.runAsNonRoot, true);
    assert.deepEqual(container.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    assert.ok(container.resources?.requests?.["memory"] && container.resources.limits?.["memory"]);
  });

  it("take the certificate from the Secret that is made, for the Service's names", () => {
    const [volume] = pod.volumes ?? [];
    const service = (find("Service") as IService).metadata;
    const [issuer, certificate] = read("cert-manager.yaml") as [
      Manifest,
      Manifest & { spec: Record<string, unknown> },
    ];
    assert.deepEqual([issuer?.kind, certificate?.kind], ["Issuer", "Certificate"]);
    assert.equal(certificate.spec["secretName"], volume?.secret?.secretName);
    const host = `${service?.name}.${service?.namespace}.svc`;
    assert.deepEqual(certificate.spec["dnsNames"], [host, `${host}.cluster.local`]);
  });
});

describe("the Job and CronJob of the certificate", () => {
  const job = (find("Job", certificates) as IJob).spec;
  const cron = (find("CronJob", certificates) as ICronJob).spec;

  it("are the same pod, which runs a command that there is, with the token of its own account", async () => {
    assert.deepEqual(cron?.jobTemplate.spec?.template, job?.template);
    const { spec } = job?.template ?? {};
    const account = find("ServiceAccount", certificates) as Manifest;
    assert.deepEqual(
      [spec?.serviceAccountName, spec?.automountServiceAccountToken],
      [account.metadata.name, true],
    );
    assert.deepEqual(spec?.containers[0]?.args, ["injector", "cert"]);
    assert.equal(spec?.containers[0]?.image, container.image);
    const { stdout, code } = await outrigger(["injector", "cert", "--help"]);
    assert.deepEqual([code, /--configuration <name> /.test(stdout)], [0, true]);
    const policy = (find("NetworkPolicy", certificates) as INetworkPolicy).spec;
    assert.deepEqual(policy?.podSelector?.matchLabels, job?.template.metadata?.labels);
    assert.notDeepEqual(policy?.podSelector?.matchLabels, deployment.spec?.template.metadata?.labels);
  });

  it("may read and change that Secret and that configuration, make Secrets there, and nothing else", () => {
    const configuration = (find("MutatingWebhookConfiguration") as Manifest).metadata.name;
    const secret = pod.volumes?.[0]?.secret?.secretName;
    assert.deepEqual((find("Role", certificates) as IRole).rules, [
      { apiGroups: [""], resources: ["secrets"], resourceNames: [secret], verbs: ["get", "patch"] },
      { apiGroups: [""], resources: ["secrets"], verbs: ["create"] },
    ]);
    assert.deepEqual((find("ClusterRole", certificates) as IClusterRole).rules, [
      {
        apiGroups: ["admissionregistration.k8s.io"],
        resources: ["mutatingwebhookconfigurations"],
        resourceNames: [configuration],
        verbs: ["get", "patch"],
      },
    ]);
    for (const kind of ["RoleBinding", "ClusterRoleBinding"] as const) {
      const { subjects, roleRef } = find(kind, certificates) as IRoleBinding;
      assert.deepEqual(
        subjects?.map(({ name }) => name),
        [job?.template.spec?.serviceAccountName],
      );
      assert.equal(roleRef.kind, kind.replace("Binding", ""));
    }
  });
});

describe("the CronJob that lists pods without sidecar", () => {
  it("runs a command that there is, and may list namespaces and pods alone", async () => {
    const { spec } = (find("CronJob", reports) as ICronJob).spec?.jobTemplate.spec?.template ?? {};
    assert.deepEqual(spec?.containers[0]?.args, ["injector", "pods", "--namespace=outrigger-system"]);
    assert.equal(spec?.serviceAccountName, (find("ServiceAccount", reports) as Manifest).metadata.name);
    assert.deepEqual((find("ClusterRole", reports) as IClusterRole).rules, [
      { apiGroups: [""], resources: ["namespaces", "pods"], verbs: ["list"] },
    ]);
    const { stdout } = await outrigger(["injector", "pods", "--help"]);
    assert.match(stdout, /--namespace <name> /);
  });
});

describe("the guide", () => {
  const guide = readFileSync(join(root, "deploy/guides/kubernetes.md"), "utf8");

  it("has every annotation, as the program has it", () => {
    const rows = Object.entries(annotations).map(([name, { doc }]) => `| \`${name}\` | ${doc} |`);
    const table = /<!-- annotations:begin -->\n([^]*?)<!-- annotations:end -->/.exec(guide)?.[1] ?? "";
    assert.deepEqual(table.trim().split("\n").slice(2), rows, `it should be:\n${rows.join("\n")}`);
  });

  it("has every reason of a refusal", () => {
    for (const reason of refusalReasons) {
      if (reason !== "malformed") assert.match(guide, new RegExp(`^\\| \`${reason}\``, "m"));
    }
  });
});
