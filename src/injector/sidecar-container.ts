// The sidecar that a pod gets: its container and volumes, as `deploy/kubernetes.yaml` has them.
import type { Wanted } from "./annotations.ts";
import { policyAnnotation } from "./annotations.ts";

export const containerName = "outrigger";
/** Of the port with health and metrics. */
export const adminPortName = "outrigger-admin";
const volumes = { redis: "outrigger-redis", policy: "outrigger-policy", state: "outrigger-state" } as const;
const volumeNames: ReadonlySet<string> = new Set(Object.values(volumes));

/** Whether a volume has a name of the sidecar's. */
export function isOwnVolume({ name }: { readonly name: string }): boolean {
  return volumeNames.has(name);
}

/** What counts where a pod says nothing. */
export interface Defaults {
  readonly image: string;
  /** Further repositories that pods may choose images of. */
  readonly allowedImages: readonly string[];
  readonly redisSecret: string;
  /** With nft, of the init container that takes a service's port. */
  readonly interceptImage: string;
}

/** Settled: no default is left to choose. */
export interface SidecarSpec {
  readonly wanted: Wanted;
  readonly service: string;
  readonly upstreamPort: number;
  readonly listenPort: number;
  readonly adminPort: number;
  /** Of the port where clients connect: what Services name. */
  readonly portName: string;
  readonly image: string;
  /** undefined = without Redis. */
  readonly redisSecret: string | undefined;
}

interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
}

const redisFolder = "/run/secrets/outrigger-redis";
const policyFolder = "/etc/outrigger";
const stateFolder = "/var/lib/outrigger";
const pluginFolder = "/var/lib/outrigger-plugins";

export const defaultResources = {
  "cpu-request": "100m",
  "cpu-limit": "1",
  "memory-request": "128Mi",
  "memory-limit": "512Mi",
} as const;

/** Its image runs as this user and group. */
const user = 65_532;

const hasPolicy = ({ wanted }: SidecarSpec): boolean =>
  wanted.plugins !== undefined || wanted["policy-config-map"] !== undefined;

export function sidecarContainer(spec: SidecarSpec): Record<string, unknown> {
  const { image, listenPort, adminPort, portName, wanted } = spec;
  const probe = (path: string) => ({ httpGet: { path, port: adminPort } });
  const amount = (name: keyof typeof defaultResources): string => wanted[name] ?? defaultResources[name];
  return {
    name: containerName,
    image,
    imagePullPolicy: "IfNotPresent",
    // A native sidecar: ready before the other containers start, ended after they have.
    restartPolicy: "Always",
    env: environment(spec),
    ports: [
      { name: portName, containerPort: listenPort, protocol: "TCP" },
      { name: adminPortName, containerPort: adminPort, protocol: "TCP" },
    ],
    startupProbe: { ...probe("/readyz"), periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 60 },
    readinessProbe: { ...probe("/readyz"), periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 2 },
    livenessProbe: { ...probe("/livez"), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 3 },
    resources: {
      requests: { cpu: amount("cpu-request"), memory: amount("memory-request") },
      limits: { cpu: amount("cpu-limit"), memory: amount("memory-limit") },
    },
    // Whatever the pod says for its other containers.
    securityContext: {
      runAsNonRoot: true,
      runAsUser: user,
      runAsGroup: user,
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    volumeMounts: mounts(spec),
  };
}

/** What is taken from clients of IPv6 is sent there by IPv6. */
export function listenAddress({ wanted, listenPort }: SidecarSpec): string {
  return `${wanted.intercept === "true" ? "[::]" : "0.0.0.0"}:${listenPort}`;
}

const set = (name: string, value: string | undefined): Variable[] =>
  value === undefined ? [] : [{ name, value }];

function environment(spec: SidecarSpec): Variable[] {
  const { wanted, service, upstreamPort, adminPort, redisSecret } = spec;
  return [
    ...set("OUTRIGGER_SERVICE", service),
    { name: "OUTRIGGER_INSTANCE", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    ...set("OUTRIGGER_LISTEN", listenAddress(spec)),
    ...set("OUTRIGGER_ADMIN", `0.0.0.0:${adminPort}`),
    ...set("OUTRIGGER_UPSTREAM", `http://127.0.0.1:${upstreamPort}`),
    ...set("OUTRIGGER_UPSTREAM_PROTOCOL", wanted["upstream-protocol"]),
    ...set("OUTRIGGER_TRUSTED_PROXIES", wanted["trusted-proxies"]),
    ...set("REDIS_URL_FILE", redisSecret && `${redisFolder}/url`),
    ...set("OUTRIGGER_POLICY_FILE", hasPolicy(spec) ? `${policyFolder}/policy.yaml` : undefined),
    ...set("OUTRIGGER_STATE_DIR", stateFolder),
    ...set("OUTRIGGER_PLUGIN_DIR", wanted["plugin-volume"] && pluginFolder),
    ...set("OUTRIGGER_PLUGIN_HOSTS", wanted["plugin-hosts"]),
    ...set("LOG_LEVEL", wanted["log-level"]),
  ];
}

const readOnly = (name: string, mountPath: string): object => ({ name, mountPath, readOnly: true });

function mounts(spec: SidecarSpec): object[] {
  const { wanted, redisSecret } = spec;
  const packages = wanted["plugin-volume"];
  return [
    ...(redisSecret === undefined ? [] : [readOnly(volumes.redis, redisFolder)]),
    ...(hasPolicy(spec) ? [readOnly(volumes.policy, policyFolder)] : []),
    { name: volumes.state, mountPath: stateFolder },
    ...(packages === undefined ? [] : [readOnly(packages, pluginFolder)]),
  ];
}

export function sidecarVolumes(spec: SidecarSpec): Record<string, unknown>[] {
  const { wanted, redisSecret } = spec;
  const configMap = wanted["policy-config-map"];
  const list: Record<string, unknown>[] = [];
  // No other container mounts it. Readable to all users, for the pod need not have an fsGroup: 0444.
  if (redisSecret !== undefined)
    list.push({
      name: volumes.redis,
      secret: { secretName: redisSecret, defaultMode: 0o444, items: [{ key: "url", path: "url" }] },
    });
  if (configMap !== undefined) list.push({ name: volumes.policy, configMap: { name: configMap } });
  if (wanted.plugins !== undefined) list.push({ name: volumes.policy, downwardAPI: shownPolicy });
  // Outlives a restart of the container: the last good policy.
  list.push({ name: volumes.state, emptyDir: { sizeLimit: "16Mi" } });
  return list;
}

const shownPolicy = {
  items: [{ path: "policy.yaml", fieldRef: { fieldPath: `metadata.annotations['${policyAnnotation}']` } }],
};

/** What `plugins` stands for. */
export function policyText(plugins: readonly string[]): string {
  return JSON.stringify({ apiVersion: "outrigger/v1", plugins });
}
