// How the injector changes real pods (pods.yaml): the patch is applied as the API server does; the result is a pod by
// Kubernetes' schema and starts a sidecar.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type IPod, Pod } from "kubernetes-models/v1";
import { parse } from "yaml";
import { loadConfig } from "../../../src/app/environment.ts";
import { registry } from "../../../src/app/registry.ts";
import { type Otherwise, review, type ReviewOptions } from "../../../src/injector/review.ts";
import { version } from "../../../src/version.ts";
import { applyPatch } from "../../support/json-patch.ts";
import { compilerSays } from "../../support/kubernetes.ts";

interface Ends {
  readonly injected?: string;
  readonly ports?: readonly number[];
  readonly portName?: string;
  readonly image?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly resources?: object;
  readonly volumes?: readonly string[];
  readonly initContainers?: readonly string[];
  readonly policy?: string;
  readonly refused?: string;
  readonly says?: string;
  readonly left?: string;
  readonly warns?: string;
}
interface Case {
  readonly is: string;
  readonly request: { readonly namespace: string; readonly object: IPod };
  readonly ends: Ends;
}

const cases = parse(readFileSync(join(import.meta.dirname, "pods.yaml"), "utf8")) as Case[];
const options: ReviewOptions = {
  defaults: {
    image: "registry.example/outrigger:0.1.0",
    allowedImages: [],
    redisSecret: "outrigger-redis",
    interceptImage: "registry.example/outrigger-intercept:0.1.0",
  },
  plugins: registry.map(({ name }) => name),
  exempt: new Set(["kube-system", "outrigger-system"]),
};

interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patchType?: string;
  readonly patch?: string;
  readonly warnings?: readonly string[];
  readonly status?: { readonly message: string; readonly code: number };
}

function ask(request: Case["request"], otherwise: Otherwise = "refuse", set = options) {
  const whole = {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      uid: "705ab4f5",
      kind: { group: "", version: "v1", kind: "Pod" },
      operation: "CREATE",
      ...request,
      object: { ...request.object, apiVersion: "v1", kind: "Pod" },
    },
  };
  const { verdict, answer } = review(JSON.stringify(whole), otherwise, set);
  const { response } = answer as { response: Response };
  assert.equal(response.uid, "705ab4f5");
  const operations = JSON.parse(Buffer.from(response.patch ?? "W10=", "base64").toString()) as [];
  return { verdict, response, operations, pod: applyPatch(whole.request.object, operations) as IPod };
}

const of = (kind: "injected" | "refused" | "left"): Case[] => cases.filter(({ ends }) => kind in ends);
const podKind = { apiVersion: "v1", kind: "Pod" } as const;
const sidecarOf = ({ spec }: IPod) => spec?.initContainers?.find(({ name }) => name === "outrigger");

it("these are 30 pods and more, no two the same", () => {
  assert.ok(cases.length >= 30, String(cases.length));
  assert.equal(new Set(cases.map(({ is }) => is)).size, cases.length);
});

describe("a pod that wants none of the injector's", () => {
  const optedOut = (spec: NonNullable<IPod["spec"]>, annotations: Record<string, string> = {}) =>
    ask({
      namespace: "shop",
      object: {
        ...podKind,
        metadata: { annotations: { "outrigger.dev/inject": "false", ...annotations } },
        spec,
      },
    });
  const own = {
    containers: [{ name: "app" }],
    initContainers: [{ name: "outrigger", image: "outrigger:0.1.0" }],
  };
  const says = ({ pod }: ReturnType<typeof ask>): unknown =>
    pod.metadata?.annotations?.["outrigger.dev/injected"];

  it("is told from one without where it brings its own, once", () => {
    const first = optedOut(own);
    assert.deepEqual([first.verdict.result, first.response.warnings], ["opted_out", undefined]);
    assert.equal(says(first), "by hand");
    assert.deepEqual(optedOut(own, { "outrigger.dev/injected": "by hand" }).operations, []);
  });

  it("cannot say so by itself", () => {
    const forged = optedOut({ containers: [{ name: "app" }] }, { "outrigger.dev/injected": "by hand" });
    assert.equal(says(forged), undefined);
    assert.equal(forged.response.warnings?.length, 1);
  });
});

it("warns of what sees into the sidecar", () => {
  const spec = {
    containers: [{ name: "app", ports: [{ containerPort: 3000 }] }],
    shareProcessNamespace: true,
  };
  const { verdict, response } = ask({
    namespace: "shop",
    object: { ...podKind, metadata: { labels: { app: "shop" } }, spec },
  });
  assert.equal(verdict.result, "injected");
  assert.match(response.warnings?.[0] ?? "", /^outrigger: shareProcessNamespace is true: /);
  assert.match(verdict.message ?? "", /^shareProcessNamespace is true: /);
});

it("is not said to be without where it is not, whatever its maker wrote", () => {
  const [first] = of("injected");
  assert.ok(first);
  const { object } = first.request;
  for (const start of [object, ask(first.request).pod]) {
    const annotations = { ...start.metadata?.annotations, "outrigger.dev/not-injected": "made up" };
    const forged = { ...start, metadata: { ...start.metadata, annotations } };
    const { pod } = ask({ namespace: "shop", object: forged });
    assert.equal(pod.metadata?.annotations?.["outrigger.dev/not-injected"], undefined);
    assert.equal(pod.metadata?.annotations?.["outrigger.dev/injected"], version);
  }
});

it("refuses a port with a name of the sidecar's, unless it is the service's own", () => {
  const named = (name: string, containerPort: number) => {
    const ports = [
      { containerPort: 3000, name: "http" },
      { containerPort, name },
    ];
    const metadata = { labels: { app: "orders" } };
    const object = { ...podKind, metadata, spec: { containers: [{ name: "app", ports }] } };
    return ask({ namespace: "shop", object }).verdict;
  };
  for (const name of ["outrigger", "outrigger-admin"]) {
    const { result, reason, message } = named(name, 4000);
    assert.deepEqual([result, reason], ["refused", "port_clash"]);
    assert.equal(
      message,
      `port 4000 of container app is called ${name}, as one of the sidecar's is: rename it`,
    );
  }
  const metadata = { labels: { app: "orders" } };
  const ports = [{ containerPort: 3000, name: "outrigger" }];
  const object = { ...podKind, metadata, spec: { containers: [{ name: "app", ports }] } };
  assert.equal(ask({ namespace: "shop", object }).verdict.result, "injected");
});

it("cuts what a refusal says of a pod that nobody has checked yet", () => {
  const name = "x".repeat(100_000);
  const image = options.defaults.image;
  const object = { ...podKind, metadata: { name }, spec: { containers: [{ name, image }] } };
  const { verdict, response } = ask({ namespace: "shop", object });
  assert.deepEqual([verdict.pod.length, response.status?.message.length], [253, 500]);
});

it("reads no text with more members than any pod has, of whatever they are", () => {
  const texts = ["0", "{}", '{"name":"a"}', '{"containerPort":1}', "[]"];
  for (const text of texts) {
    const list = Array.from({ length: 200_000 }, () => text).join(",");
    const spec = `{"containers":[${list}],"volumes":[${list}]}`;
    const request = `{"uid":"a","kind":{"group":"","kind":"Pod"},"operation":"CREATE","object":{"metadata":{},"spec":${spec}}}`;
    const whole = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":${request}}`;
    assert.throws(() => review(whole, "refuse", options), { name: "NoReview", message: /more than 50000/ });
  }
});

it("takes no port of a sidecar that somebody made up where there is no such port", () => {
  for (const port of ["0", "65536", "99999"]) {
    const env = [{ name: "OUTRIGGER_UPSTREAM", value: `http://127.0.0.1:${port}` }];
    const initContainers = [{ name: "outrigger", image: "made-up", env }];
    const containers = [{ name: "app", ports: [{ containerPort: 3000 }] }];
    const metadata = { labels: { app: "a" }, annotations: { "outrigger.dev/injected": version } };
    const { pod } = ask({
      namespace: "shop",
      object: { ...podKind, metadata, spec: { initContainers, containers } },
    });
    const upstream = sidecarOf(pod)?.env?.find(({ name }) => name === "OUTRIGGER_UPSTREAM");
    assert.equal(upstream?.value, "http://127.0.0.1:3000");
  }
});

describe("a pod that gets its sidecar", () => {
  for (const { is, request, ends } of of("injected")) {
    it(is, () => {
      const { verdict, response, pod } = ask(request);
      assert.deepEqual(
        [response.allowed, response.patchType, response.status],
        [true, "JSONPatch", undefined],
      );
      assert.deepEqual([verdict.result, verdict.service], ["injected", ends.injected]);
      const sidecar = sidecarOf(pod);
      assert.ok(sidecar);
      new Pod(pod).validate();
      const env = Object.fromEntries((sidecar.env ?? []).map(({ name, value }) => [name, value ?? "pod-1"]));
      const config = loadConfig(env, (path) => {
        assert.equal(path, "/run/secrets/outrigger-redis/url");
        return "redis://sidecar:secret@redis:6379";
      });
      const [listen] = config.listen;
      const portIn = (place: object): unknown => ("port" in place ? place.port : place);
      assert.deepEqual([portIn(listen ?? {}), config.upstream.port, portIn(config.admin)], ends.ports);
      assert.equal(config.service, ends.injected);
      assert.deepEqual(
        sidecar.ports?.map(({ containerPort }) => containerPort),
        [ends.ports?.[0], ends.ports?.[2]],
      );
      assert.equal(sidecar.ports?.[0]?.name, ends.portName ?? "outrigger");
      assert.equal(sidecar.image, ends.image ?? options.defaults.image);
      for (const [name, value] of Object.entries(ends.env ?? {})) assert.equal(env[name], value, name);
      if (ends.resources) assert.deepEqual(sidecar.resources, ends.resources);
      const names = (list: readonly { name: string }[] = []): string[] => list.map(({ name }) => name);
      const own = names(pod.spec?.volumes).filter((name) => !name.startsWith("kube-api") && name !== "data");
      if (ends.volumes) assert.deepEqual(own, ends.volumes);
      assert.deepEqual(names(pod.spec?.initContainers ?? []), ends.initContainers ?? ["outrigger"]);
      const annotations = pod.metadata?.annotations ?? {};
      assert.equal(annotations["outrigger.dev/injected"], version);
      assert.equal(
        annotations["outrigger.dev/injected-policy"],
        ends.policy ?? annotations["outrigger.dev/injected-policy"],
      );
    });

    it(`${is}: asked again, it is as it was`, () => {
      const { pod } = ask(request);
      const again = ask({ ...request, object: pod });
      assert.deepEqual([again.verdict.result, again.operations], ["unchanged", []]);
    });
  }

  it("has no field that Kubernetes does not know", () => {
    const pods = of("injected").map(({ request }) => ask(request).pod);
    assert.equal(compilerSays(pods.map((object) => ({ kind: "Pod", from: "v1", object }))), "");
    const broken = structuredClone(pods[0]) as { spec: { initContainers: object[] } };
    Object.assign(broken.spec.initContainers[0] ?? {}, { restartPolicies: "Always" });
    assert.match(compilerSays([{ kind: "Pod", from: "v1", object: broken }]), /restartPolicies/);
  });

  it("starts it as a native sidecar without rights, ready before the pod's own containers", () => {
    for (const { request } of of("injected")) {
      const sidecar = sidecarOf(ask(request).pod);
      assert.equal(sidecar?.restartPolicy, "Always");
      assert.equal(sidecar.startupProbe?.httpGet?.path, "/readyz");
      assert.deepEqual(sidecar.securityContext, {
        runAsNonRoot: true,
        runAsUser: 65_532,
        runAsGroup: 65_532,
        privileged: false,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
        seccompProfile: { type: "RuntimeDefault" },
      });
      const volumes = new Set((ask(request).pod.spec?.volumes ?? []).map(({ name }) => name));
      for (const { name, mountPath } of sidecar.volumeMounts ?? []) assert.ok(volumes.has(name), mountPath);
    }
  });

  it("has its port taken, by a container that ends before all others, where it asks for that", () => {
    const { pod } = ask(cases.find(({ is }) => is.includes("port is taken"))?.request as Case["request"]);
    const [intercept, sidecar] = pod.spec?.initContainers ?? [];
    assert.deepEqual([intercept?.name, intercept?.restartPolicy], ["outrigger-intercept", undefined]);
    const { spec } = (
      parse(readFileSync("deploy/intercept/kubernetes.yaml", "utf8")) as { spec: { template: IPod } }
    ).spec.template;
    const [byHand] = spec?.initContainers ?? [];
    const envOf = (container: typeof byHand) =>
      container?.env?.map(({ name, value, valueFrom }) => [
        name,
        valueFrom ?? (/SERVICE/.test(name) ? "" : value),
      ]);
    assert.deepEqual(
      [intercept?.args, envOf(intercept), intercept?.resources],
      [byHand?.args, envOf(byHand), byHand?.resources],
    );
    assert.deepEqual(intercept?.securityContext?.capabilities, byHand?.securityContext?.capabilities);
    assert.equal(sidecar?.env?.find(({ name }) => name === "OUTRIGGER_LISTEN")?.value, "[::]:8080");
  });

  it("keeps the name of its port for the sidecar alone, and its probes", () => {
    const { pod } = ask(cases[1]?.request as Case["request"]);
    const [basket] = pod.spec?.containers ?? [];
    assert.deepEqual(basket?.ports, [
      { containerPort: 5000 },
      { name: "gossip", containerPort: 7946, protocol: "UDP" },
    ]);
    assert.equal(basket?.livenessProbe?.httpGet?.port, 5000);
    assert.equal(basket?.readinessProbe?.tcpSocket?.port, 5000);
    assert.equal(basket?.lifecycle?.preStop?.httpGet?.port, 5000);
  });
});

describe("a sidecar that is there already", () => {
  const [first] = cases as [Case];
  const injected = (): IPod => ask(first.request).pod;
  const again = (change: (sidecar: Record<string, unknown>, pod: IPod) => void) => {
    const pod = structuredClone(injected());
    change(sidecarOf(pod) as unknown as Record<string, unknown>, pod);
    return ask({ ...first.request, object: pod });
  };

  it("is left as it is with the API server's defaults and the account's mount", () => {
    const { verdict } = again((sidecar, pod) => {
      sidecar["terminationMessagePath"] = "/dev/termination-log";
      sidecar["terminationMessagePolicy"] = "File";
      Object.assign((sidecar["livenessProbe"] as { httpGet: object }).httpGet, { scheme: "HTTP" });
      Object.assign(sidecar["livenessProbe"] as object, { successThreshold: 1 });
      const mount = {
        name: "kube-api-access-x2x",
        mountPath: "/var/run/secrets/kubernetes.io/serviceaccount",
      };
      (sidecar["volumeMounts"] as object[]).push({ ...mount, readOnly: true });
      pod.spec?.containers.push({ name: "later", image: "later" });
    });
    assert.equal(verdict.result, "unchanged");
  });

  for (const [what, change] of [
    ["another program", (sidecar) => (sidecar["command"] = ["sleep", "inf"])],
    ["another image", (sidecar) => (sidecar["image"] = "registry.example/outrigger:0.0.1")],
    [
      "one variable more",
      (sidecar) => (sidecar["env"] as object[]).push({ name: "NODE_OPTIONS", value: "-r x" }),
    ],
    [
      "a mount over its program",
      (sidecar) => (sidecar["volumeMounts"] as object[]).push({ name: "x", mountPath: "/app" }),
    ],
    ["rights", (sidecar) => Object.assign(sidecar["securityContext"] as object, { privileged: true })],
    ["no probe", (sidecar) => delete sidecar["startupProbe"]],
    [
      "state on the host",
      (_, pod) =>
        Object.assign(pod.spec?.volumes?.at(-1) ?? {}, { emptyDir: undefined, hostPath: { path: "/" } }),
    ],
  ] as [string, (sidecar: Record<string, unknown>, pod: IPod) => unknown][]) {
    it(`is made anew where somebody gave it ${what}`, () => {
      const { verdict, pod } = again(change);
      assert.equal(verdict.result, "injected");
      assert.deepEqual(sidecarOf(pod), sidecarOf(injected()));
      assert.deepEqual(pod.spec?.volumes, injected().spec?.volumes);
    });
  }

  it("is made anew by another version of the image", () => {
    const newer = {
      ...options,
      defaults: { ...options.defaults, image: "registry.example/outrigger:0.2.0" },
    };
    const { verdict, pod } = ask({ ...first.request, object: injected() }, "refuse", newer);
    assert.deepEqual(
      [verdict.result, sidecarOf(pod)?.image],
      ["injected", "registry.example/outrigger:0.2.0"],
    );
  });
});

describe("a pod that gets none", () => {
  for (const { is, request, ends } of of("refused")) {
    it(`${is}: is refused by one sentence`, () => {
      const { verdict, response } = ask(request);
      assert.deepEqual([response.allowed, response.status?.code, response.patch], [false, 403, undefined]);
      assert.equal(response.status?.message, ends.says);
      assert.deepEqual([verdict.result, verdict.reason], ["refused", ends.refused]);
    });

    it(`${is}: where the namespace prefers that, is admitted, warned of and marked`, () => {
      const { verdict, response, pod } = ask(request, "admit");
      assert.deepEqual(
        [response.allowed, response.warnings],
        [true, [`outrigger: admitted without sidecar: ${ends.says}`]],
      );
      assert.equal(verdict.result, "admitted_without");
      assert.equal(pod.metadata?.annotations?.["outrigger.dev/not-injected"], ends.says);
      assert.deepEqual(pod.spec, request.object.spec);
    });
  }

  for (const { is, request, ends } of of("left")) {
    it(`${is}: is let through as it is`, () => {
      const { verdict, response, operations } = ask(request);
      assert.deepEqual([response.allowed, operations, verdict.result], [true, [], ends.left]);
      assert.deepEqual(response.warnings, ends.warns === undefined ? undefined : [ends.warns]);
    });
  }
});
