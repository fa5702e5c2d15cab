// Renews the webhook's certificate where no cert-manager does: a Secret that the injector mounts, and the authority in
// caBundle of the webhook configuration, by which API servers trust it. Runs regularly and renews both in time.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { z } from "zod";
import { ApiProblem, type KubernetesApi } from "../kubernetes/api.ts";
import { type Issued, issueCertificate } from "../tls/issue.ts";
import { certificatesIn } from "../tls/pem.ts";

export interface RenewOptions {
  readonly api: Pick<KubernetesApi, "ask">;
  readonly namespace: string;
  /** Name of the Service in front of the injector. */
  readonly service: string;
  readonly secret: string;
  /** Name of the MutatingWebhookConfiguration. */
  readonly configuration: string;
  readonly days: number;
  readonly nowMs: number;
  readonly signal: AbortSignal;
}

export interface Renewal {
  /** Whether a new certificate was made. */
  readonly renewed: boolean;
  /** Why it was made; "" = the one in the Secret is still good. */
  readonly reason: string;
  /** Whether caBundle was changed. */
  readonly bundled: boolean;
  readonly endsMs: number;
}

const dayMs = 86_400_000;
/** Renewed when this part of its days is left, so that some days without a run do no harm. */
const renewPart = 1 / 3;
/** For concurrent runs: the one whose write conflicts starts over. */
const maxTries = 5;
/** Bound on caBundle. Former authorities stay until they expire: pods see a changed Secret a minute or two later. */
const maxAuthorities = 4;

const base64 = z.base64().transform((text) => Buffer.from(text, "base64").toString());
const secretSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  data: z
    .looseObject({ "tls.crt": base64.optional(), "tls.key": base64.optional(), "ca.crt": base64.optional() })
    .nullish(),
});
const configurationSchema = z.looseObject({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  webhooks: z.array(z.looseObject({ clientConfig: z.looseObject({ caBundle: base64.optional() }) })).min(1),
});

/** Rejects with ApiProblem. */
export async function renewCertificate(options: RenewOptions): Promise<Renewal> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await renewOnce(options);
    } catch (error) {
      // Conflict: somebody else changed or created the object in the meantime.
      if (!(error instanceof ApiProblem) || error.status !== 409 || tries === maxTries) throw error;
    }
  }
}

async function renewOnce(options: RenewOptions): Promise<Renewal> {
  const secret = await readSecret(options);
  const reason = reasonToRenew(secret?.data ?? {}, options);
  const { data } = secret ?? {};
  const made = reason === undefined ? undefined : issueCertificate({ ...options, names: namesOf(options) });
  const cert = made?.cert ?? data?.["tls.crt"] ?? "";
  // The authority first, then the certificate: no API server may meet a certificate that it does not trust yet.
  const bundled = await bundle(made?.ca ?? data?.["ca.crt"] ?? "", options);
  if (made !== undefined) await writeSecret(made, secret?.metadata.resourceVersion, options);
  return {
    renewed: made !== undefined,
    reason: reason ?? "",
    bundled,
    endsMs: new X509Certificate(cert).validToDate.getTime(),
  };
}

function namesOf({ service, namespace }: RenewOptions): string[] {
  const host = `${service}.${namespace}.svc`;
  return [host, `${host}.cluster.local`];
}

function secretPath({ namespace, secret }: RenewOptions): string {
  return `/api/v1/namespaces/${namespace}/secrets/${secret}`;
}

async function readSecret(options: RenewOptions): Promise<z.output<typeof secretSchema> | undefined> {
  const { api, signal } = options;
  try {
    const { document } = await api.ask({ method: "GET", path: secretPath(options), signal });
    return parsed(secretSchema, document, `the Secret ${options.secret}`);
  } catch (error) {
    if (error instanceof ApiProblem && error.status === 404) return undefined;
    throw error;
  }
}

type SecretData = NonNullable<z.output<typeof secretSchema>["data"]>;

/** @returns undefined when the certificate is good for a while */
function reasonToRenew(data: SecretData, options: RenewOptions): string | undefined {
  const { "tls.crt": cert = "", "tls.key": key = "", "ca.crt": ca = "" } = data;
  if (cert === "" || key === "" || ca === "") return "there was none";
  try {
    const [own, authority] = [new X509Certificate(cert), new X509Certificate(ca)];
    if (!own.checkPrivateKey(createPrivateKey(key))) return "its key was another's";
    if (!own.verify(authority.publicKey)) return "its authority was another's";
    if (namesOf(options).some((name) => own.checkHost(name) === undefined)) return "it was for other names";
    const leftMs = own.validToDate.getTime() - options.nowMs;
    return leftMs < options.days * dayMs * renewPart ? `it ends ${own.validToDate.toISOString()}` : undefined;
  } catch {
    return "it could not be read";
  }
}

/** Adds the authority to every webhook's caBundle, beside unexpired ones. @returns whether anything changed */
async function bundle(ca: string, options: RenewOptions): Promise<boolean> {
  const { api, configuration, nowMs, signal } = options;
  const path = `/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/${configuration}`;
  const { document } = await api.ask({ method: "GET", path, signal });
  const what = `the MutatingWebhookConfiguration ${configuration}`;
  const { metadata, webhooks } = parsed(configurationSchema, document, what);
  let changed = false;
  // A merge patch replaces the whole list; resourceVersion ensures that it replaces what was read.
  const given = (document as { webhooks: { clientConfig: object }[] }).webhooks;
  const next = given.map((webhook, at) => {
    const before = webhooks[at]?.clientConfig.caBundle ?? "";
    const after = authoritiesOf(before, ca, nowMs);
    if (after === before) return webhook;
    changed = true;
    const caBundle = encoded(after);
    return { ...webhook, clientConfig: { ...webhook.clientConfig, caBundle } };
  });
  const { resourceVersion } = metadata;
  if (changed)
    await api.ask({
      method: "PATCH",
      path,
      patch: { metadata: { resourceVersion }, webhooks: next },
      signal,
    });
  return changed;
}

/** The newest authority first. */
function authoritiesOf(bundle: string, ca: string, nowMs: number): string {
  const [own = ""] = certificatesIn(ca);
  const others = certificatesIn(bundle).filter((pem) => pem !== own && !isOver(pem, nowMs));
  const known = certificatesIn(bundle).includes(own);
  // If the authority is already there, the order is kept: order alone is no reason to write.
  const all = known
    ? certificatesIn(bundle).filter((pem) => pem === own || others.includes(pem))
    : [own, ...others];
  return `${all.slice(0, maxAuthorities).join("\n")}\n`;
}

function isOver(pem: string, nowMs: number): boolean {
  try {
    return new X509Certificate(pem).validToDate.getTime() <= nowMs;
  } catch {
    return true; // API servers refuse a bundle with an unreadable certificate.
  }
}

const encoded = (text: string): string => Buffer.from(text).toString("base64");

async function writeSecret(
  { ca, cert, key }: Issued,
  resourceVersion: string | undefined,
  options: RenewOptions,
): Promise<void> {
  const { api, namespace, secret: name, signal } = options;
  const data = { "tls.crt": encoded(cert), "tls.key": encoded(key), "ca.crt": encoded(ca) };
  if (resourceVersion !== undefined) {
    const patch = { metadata: { resourceVersion }, data };
    await api.ask({ method: "PATCH", path: secretPath(options), patch, signal });
    return;
  }
  const labels = { "app.kubernetes.io/name": "outrigger-injector" };
  const metadata = { name, namespace, labels };
  const object = { apiVersion: "v1", kind: "Secret", metadata, type: "kubernetes.io/tls", data };
  await api.ask({ method: "POST", path: `/api/v1/namespaces/${namespace}/secrets`, object, signal });
}

/** @throws ApiProblem */
function parsed<T>(schema: z.ZodType<T>, document: unknown, what: string): T {
  const found = schema.safeParse(document);
  if (found.success) return found.data;
  const [issue] = found.error.issues;
  throw new ApiProblem(`${what} cannot be read: ${issue?.path.join(".")}: ${issue?.message}`);
}
