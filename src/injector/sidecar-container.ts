// Builds the sidecar's container and volumes, as in `deploy/kubernetes.yaml`.
import type { Wanted } from "./annotations.ts";
import { policyAnnotation } from "./annotations.ts";

export const containerName = "outrigger";
/** Name of the port for health and metrics. */
export const adminPortName = "outrigger-admin";
const volumes = { redis: "outrigger-redis", policy: "outrigger-policy", state: "outrigger-state" } as const;
const volumeNames: ReadonlySet<string> = new Set(Object.values(volumes));

/** Whether a volume has a name of the sidecar's. */
export function isOwnVolume({ name }: { readonly name: string }): boolean {
  return volumeNames.has(name);
}

/** Values for pods whose annotations say nothing. */
export interface Defaults {
  readonly image: string;
  /** More repositories whose images pods may choose. */
  readonly allowedImages: readonly string[];
  readonly redisSecret: string;
  /** The image with nft, for the init container that takes a service's port. */
  readonly interceptImage: string;
}

/** The complete description of a sidecar; no default is left to apply. */
export interface SidecarSpec {
  readonly wanted: Wanted;
  readonly service: string;
  readonly upstreamPort: number;
  readonly listenPort: number;
  readonly adminPort: number;
  /** Name of the port where clients connect; Services refer to it. */
  readonly portName: string;
  readonly image: string;
  /** Secret with the URL of Redis; undefined = without Redis. */
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

/** User and group of the image. */
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
    // A native sidecar: ready before the other containers start, and stopped after them.
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
    // Fixed, whatever the pod sets for its other containers.
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

/** [::] with interception: connections redirected from IPv6 clients arrive by IPv6. */
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
  // Mounted only into the sidecar. Mode 0444, readable to all users, because the pod may have no fsGroup.
  if (redisSecret !== undefined)
    list.push({
      name: volumes.redis,
      secret: { secretName: redisSecret, defaultMode: 0o444, items: [{ key: "url", path: "url" }] },
    });
  if (configMap !== undefined) list.push({ name: volumes.policy, configMap: { name: configMap } });
  if (wanted.plugins !== undefined) list.push({ name: volumes.policy, downwardAPI: shownPolicy });
  // Survives a restart of the container; it holds the last good policy.
  list.push({ name: volumes.state, emptyDir: { sizeLimit: "16Mi" } });
  return list;
}

const shownPolicy = {
  items: [{ path: "policy.yaml", fieldRef: { fieldPath: `metadata.annotations['${policyAnnotation}']` } }],
};

/** The policy that the annotation `plugins` stands for. */
export function policyText(plugins: readonly string[]): string {
  return JSON.stringify({ apiVersion: "outrigger/v1", plugins });
}
