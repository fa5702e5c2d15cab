// Builds a pod's init containers: the sidecar and, if wanted, the one before it that takes the service's port.
import { containerName, listenAddress, sidecarContainer, type SidecarSpec } from "./sidecar-container.ts";

const interceptName = "outrigger-intercept";
const names: ReadonlySet<string> = new Set([interceptName, containerName]);

/** Whether a container has one of these names. */
export function isOwnContainer({ name }: { readonly name: string }): boolean {
  return names.has(name);
}

/** In this order, before all other containers of the pod. */
export function ownContainers(spec: SidecarSpec, interceptImage: string): Record<string, unknown>[] {
  const { wanted } = spec;
  return [
    ...(wanted.intercept === "true" ? [interceptContainer(spec, interceptImage)] : []),
    sidecarContainer(spec),
  ];
}

/** The container of `deploy/intercept/kubernetes.yaml`: its rights end when it exits. */
function interceptContainer(spec: SidecarSpec, image: string): Record<string, unknown> {
  const { service, upstreamPort } = spec;
  return {
    name: interceptName,
    image,
    imagePullPolicy: "IfNotPresent",
    args: ["install", "--node-address", "$(NODE_ADDRESS)"],
    env: [
      { name: "NODE_ADDRESS", valueFrom: { fieldRef: { fieldPath: "status.hostIP" } } },
      { name: "OUTRIGGER_SERVICE", value: service },
      { name: "OUTRIGGER_UPSTREAM", value: `http://127.0.0.1:${upstreamPort}` },
      { name: "OUTRIGGER_LISTEN", value: listenAddress(spec) },
    ],
    resources: { requests: { cpu: "10m", memory: "64Mi" }, limits: { memory: "128Mi" } },
    securityContext: {
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
  };
}
