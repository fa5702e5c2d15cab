// Decides what happens to a pod: gives the JSON Patch (RFC 6902) that adds a sidecar, or throws why it gets none.
import { version } from "../version.ts";
import {
  annotationPrefix,
  injectedAnnotation,
  notInjectedAnnotation,
  ownSidecar,
  policyAnnotation,
  readAnnotations,
} from "./annotations.ts";
import { repositoryOf } from "./image.ts";
import { isAs } from "./likeness.ts";
import { annotate, type Operation, removeAnnotation } from "./patch.ts";
import { isOwnContainer, ownContainers } from "./containers.ts";
import { annotationsOf, type Pod } from "./pod.ts";
import { portNameOperations } from "./port-name.ts";
import { type KnownPort, settle, type SettleOptions } from "./settle.ts";
import {
  containerName,
  isOwnVolume,
  policyText,
  type SidecarSpec,
  sidecarVolumes,
} from "./sidecar-container.ts";

export type Injection =
  | { readonly kind: "injected"; readonly service: string; readonly patch: readonly Operation[] }
  /** The pod already has its sidecar: the API server asks again after other webhooks changed a pod. */
  | { readonly kind: "unchanged" }
  /** The pod's annotation opts out. */
  | { readonly kind: "opted_out"; readonly patch: readonly Operation[]; readonly bringsOwn: boolean };

/**
 * Idempotent: the same pod gives the same result.
 * @throws Refusal
 */
export function inject(pod: Pod, options: SettleOptions): Injection {
  const annotations = annotationsOf(pod);
  const { defaults } = options;
  if (annotations[`${annotationPrefix}inject`] === "false") return optedOut(pod);
  const wanted = readAnnotations(annotations, [repositoryOf(defaults.image), ...defaults.allowedImages]);
  const earlier = earlierInjection(pod);
  const bare = earlier === undefined ? pod : withoutSidecar(pod);
  const spec = settle(bare, wanted, options, earlier);
  const containers = ownContainers(spec, defaults.interceptImage);
  if (earlier !== undefined && isAsWanted(pod, spec, containers)) return { kind: "unchanged" };
  return {
    kind: "injected",
    service: spec.service,
    patch: [
      ...(earlier === undefined ? [] : removals(pod)),
      ...metadataOperations(pod, spec),
      ...portNameOperations(bare, spec),
      ...additions(bare, containers, sidecarVolumes(spec)),
    ],
  };
}

/** For `injector pods`, which reads only annotations: a sidecar by Kustomize, Helm or hand would look missing. */
function optedOut(pod: Pod): Injection {
  const { containers, initContainers } = pod.spec;
  const bringsOwn = [...containers, ...(initContainers ?? [])].some(({ name }) => name === containerName);
  const saysSo = annotationsOf(pod)[injectedAnnotation] === ownSidecar;
  const patch =
    bringsOwn === saysSo
      ? []
      : bringsOwn
        ? annotate(pod, { [injectedAnnotation]: ownSidecar })
        : [removeAnnotation(injectedAnnotation)];
  return { kind: "opted_out", patch, bringsOwn };
}

/** Finds an earlier injection. The container decides, since anybody could copy or make up the annotation. */
function earlierInjection(pod: Pod): KnownPort | undefined {
  if (annotationsOf(pod)[injectedAnnotation] === undefined) return undefined;
  const container = (pod.spec.initContainers ?? []).find(({ name }) => name === containerName);
  if (container === undefined) return undefined;
  const name = container.ports?.[0]?.name ?? "";
  const upstream = container.env?.find(({ name }) => name === "OUTRIGGER_UPSTREAM")?.value ?? "";
  const port = Number(/^http:\/\/127\.0\.0\.1:(\d{1,5})$/.exec(upstream)?.[1]);
  return {
    portName: /^[a-z0-9-]{1,15}$/.test(name) ? name : undefined,
    upstreamPort: port >= 1 && port <= 65_535 ? port : undefined,
  };
}

function withoutSidecar(pod: Pod): Pod {
  const { initContainers, volumes } = pod.spec;
  return {
    ...pod,
    spec: {
      ...pod.spec,
      initContainers: initContainers?.filter((each) => !isOwnContainer(each)),
      volumes: volumes?.filter((volume) => !isOwnVolume(volume)),
    },
  };
}

/** If anything else was added, such as a command or a mount over the program, the sidecar is made anew. */
function isAsWanted(pod: Pod, spec: SidecarSpec, containers: readonly object[]): boolean {
  const { plugins } = spec.wanted;
  return (
    annotationsOf(pod)[notInjectedAnnotation] === undefined &&
    isAs((pod.spec.initContainers ?? []).filter(isOwnContainer), containers) &&
    isAs((pod.spec.volumes ?? []).filter(isOwnVolume), sidecarVolumes(spec)) &&
    (plugins === undefined || annotationsOf(pod)[policyAnnotation] === policyText(plugins))
  );
}

function removals({ spec }: Pod): Operation[] {
  return [
    ...removalsOf("initContainers", spec.initContainers, isOwnContainer),
    ...removalsOf("volumes", spec.volumes, isOwnVolume),
  ];
}

interface Named {
  readonly name: string;
}

/** From last to first, so that the earlier indices stay valid. */
function removalsOf(
  where: string,
  list: readonly Named[] | null | undefined,
  isGone: (each: Named) => boolean,
): Operation[] {
  return (list ?? [])
    .flatMap((each, at): Operation[] =>
      isGone(each) ? [{ op: "remove", path: `/spec/${where}/${at}` }] : [],
    )
    .reverse();
}

function metadataOperations(pod: Pod, { wanted }: SidecarSpec): Operation[] {
  const added: Record<string, string> = { [injectedAnnotation]: version };
  if (wanted.plugins !== undefined) added[policyAnnotation] = policyText(wanted.plugins);
  const isSaidWithout = annotationsOf(pod)[notInjectedAnnotation] !== undefined;
  return [...annotate(pod, added), ...(isSaidWithout ? [removeAnnotation(notInjectedAnnotation)] : [])];
}

/** The sidecar goes first, so that the pod's own init containers already call others through it. */
function additions({ spec }: Pod, containers: readonly object[], volumes: readonly object[]): Operation[] {
  return [
    ...(Array.isArray(spec.initContainers)
      ? containers.map((value, at): Operation => ({ op: "add", path: `/spec/initContainers/${at}`, value }))
      : [{ op: "add", path: "/spec/initContainers", value: containers } as const]),
    ...(Array.isArray(spec.volumes)
      ? volumes.map((value): Operation => ({ op: "add", path: "/spec/volumes/-", value }))
      : [{ op: "add", path: "/spec/volumes", value: volumes } as const]),
  ];
}
