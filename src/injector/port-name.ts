// Moves the name of the service's port to the sidecar's port, so that Services that refer to the port by name lead to
// the sidecar. The container's own probes by that name are changed to the number.
import type { Operation } from "./patch.ts";
import type { Action, Container, Pod } from "./pod.ts";
import type { SidecarSpec } from "./sidecar-container.ts";

export function portNameOperations({ spec }: Pod, { portName }: SidecarSpec): Operation[] {
  return spec.containers.flatMap((container, at) => {
    const index = container.ports?.findIndex(({ name }) => name === portName) ?? -1;
    const port = container.ports?.[index];
    if (port === undefined) return [];
    const base = `/spec/containers/${at}`;
    return [
      { op: "remove" as const, path: `${base}/ports/${index}/name` },
      ...probesOf(container).flatMap(([path, probe]) =>
        (["httpGet", "tcpSocket"] as const).flatMap((kind) =>
          probe?.[kind]?.port === portName
            ? [{ op: "replace" as const, path: `${base}/${path}/${kind}/port`, value: port.containerPort }]
            : [],
        ),
      ),
    ];
  });
}

function probesOf(container: Container): [string, Action | null | undefined][] {
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
  return [
    ["livenessProbe", livenessProbe],
    ["readinessProbe", readinessProbe],
    ["startupProbe", startupProbe],
    ["lifecycle/postStart", lifecycle?.postStart],
    ["lifecycle/preStop", lifecycle?.preStop],
  ];
}
