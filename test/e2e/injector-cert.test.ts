// `outrigger injector cert` against an API server: what it creates, renews and reports, whatever exists before.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { after, before, beforeEach, describe, it } from "node:test";
import { MutatingWebhookConfiguration } from "kubernetes-models/admissionregistration.k8s.io/v1";
import { Secret } from "kubernetes-models/v1";
import { type CertOptions, runCert } from "../../src/cli/injector-cert.ts";
import { issueCertificate } from "../../src/tls/issue.ts";
import { certificatesIn } from "../../src/tls/pem.ts";
import { makeCertificate } from "../support/certificate.ts";

interface Stored {
  readonly metadata: { readonly name: string; readonly resourceVersion?: string };
  readonly data?: Record<string, string>;
  readonly webhooks?: { readonly name: string; readonly clientConfig: { readonly caBundle?: string } }[];
}

/** RFC 7386. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> = { ...(target as object) };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}

const folder = mkdtempSync(join(tmpdir(), "outrigger-account-"));
const secretPath = "/api/v1/namespaces/outrigger-system/secrets/outrigger-injector-tls";
const webhooksPath = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/outrigger-injector";
const objects = new Map<string, Stored>();
let asked: string[] = [];
let version = 1;
/** Runs before a request is answered. */
let meanwhile: ((asked: string) => void) | undefined;
let forbidden = false;
const put = (path: string, object: Stored): void =>
  void objects.set(path, { ...object, metadata: { ...object.metadata, resourceVersion: String(++version) } });

/** A stand-in, over real HTTPS: reads, creates, merges, and refuses what was changed meanwhile, as the API conventions say. */
const tls = makeCertificate();
const server = https.createServer(tls, (request, response) => void answer(request, response));
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const what = `${request.method} ${request.url}`;
  asked.push(what);
  const send = (status: number, document: object): void => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(document));
  };
  const refuse = (code: number, message: string): void => send(code, { kind: "Status", code, message });
  const body = request.method === "GET" ? undefined : ((await json(request)) as Stored);
  meanwhile?.(what);
  const { url: path = "" } = request;
  const found = objects.get(path);
  if (request.headers.authorization !== "Bearer the-token") return refuse(401, "Unauthorized");
  if (forbidden) return refuse(403, "secrets is forbidden");
  if (request.method === "POST") {
    const made = `${path}/${body?.metadata.name}`;
    if (objects.has(made)) return refuse(409, "already exists");
    put(made, body as Stored);
    return send(201, body ?? {});
  }
  if (found === undefined) return refuse(404, "not found");
  if (request.method === "PATCH") {
    if (request.headers["content-type"] !== "application/merge-patch+json") return refuse(415, "type");
    if (body?.metadata.resourceVersion !== found.metadata.resourceVersion) return refuse(409, "was modified");
    put(path, merged(found, body) as Stored);
  }
  return send(200, objects.get(path) ?? {});
}
let env: Record<string, string> = {};
before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  env = { KUBERNETES_SERVICE_HOST: "127.0.0.1", KUBERNETES_SERVICE_PORT: String(port) };
  writeFileSync(join(folder, "ca.crt"), tls.cert);
  writeFileSync(join(folder, "token"), "the-token\n");
  writeFileSync(join(folder, "namespace"), "outrigger-system");
});
after(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

const names = [
  "outrigger-injector.outrigger-system.svc",
  "outrigger-injector.outrigger-system.svc.cluster.local",
];
const encoded = (text: string): string => Buffer.from(text).toString("base64");
const issue = (days: number, agoDays = 0) =>
  issueCertificate({ names, days, nowMs: Date.now() - agoDays * 86_400_000 });
const secretOf = (pair: { ca: string; cert: string; key: string }): Stored => ({
  metadata: { name: "outrigger-injector-tls" },
  data: {
    "tls.crt": encoded(pair.cert),
    "tls.key": encoded(pair.key),
    "ca.crt": encoded(pair.ca),
    other: "kept",
  },
});
const decoded = (text = ""): string => Buffer.from(text, "base64").toString();
const inForce = (): string => decoded(objects.get(secretPath)?.data?.["tls.crt"]);
const bundles = (): string[] =>
  (objects.get(webhooksPath)?.webhooks ?? []).map(({ clientConfig }) => decoded(clientConfig.caBundle));
const apply = (bundle?: string): void =>
  put(webhooksPath, {
    metadata: { name: "outrigger-injector" },
    webhooks: ["enabled", "best-effort"].map((name) => ({
      name: `${name}.injector.outrigger.dev`,
      admissionReviewVersions: ["v1"],
      sideEffects: "None",
      failurePolicy: "Fail",
      clientConfig: {
        service: { name: "outrigger-injector", namespace: "outrigger-system" },
        ...(bundle === undefined ? {} : { caBundle: encoded(bundle) }),
      },
    })),
  });

async function run(more: Partial<CertOptions> = {}) {
  let [stdout, stderr] = ["", ""];
  const terminal = {
    env,
    out: (text: string) => void (stdout += text),
    err: (text: string) => void (stderr += text),
  };
  const options = {
    service: "outrigger-injector",
    secret: "outrigger-injector-tls",
    configuration: "outrigger-injector",
    days: "90",
    json: true,
    ...more,
  } as const;
  const code = await runCert(terminal, options, folder);
  return {
    code,
    stderr,
    told: (stdout === "" ? {} : JSON.parse(stdout)) as {
      renewed?: boolean;
      reason?: string;
      bundled?: boolean;
    },
  };
}

/** Whether an API server with that bundle would talk to the injector. */
const isBelieved = (bundle: string, cert = inForce()): boolean =>
  certificatesIn(bundle).some((pem) => new X509Certificate(cert).verify(new X509Certificate(pem).publicKey));

beforeEach(() => {
  objects.clear();
  asked = [];
  meanwhile = undefined;
  forbidden = false;
});

describe("a first run", () => {
  it("tells the API servers of an authority, then makes the Secret", async () => {
    apply();
    const { code, told } = await run();
    assert.deepEqual([code, told.renewed, told.reason, told.bundled], [0, true, "there was none", true]);
    assert.deepEqual(
      asked.filter((what) => !what.startsWith("GET")),
      [`PATCH ${webhooksPath}`, `POST ${secretPath.replace("/outrigger-injector-tls", "")}`],
    );
    assert.ok(bundles().length === 2 && bundles().every((bundle) => isBelieved(bundle)));
    new Secret(objects.get(secretPath) ?? {}).validate();
    new MutatingWebhookConfiguration(objects.get(webhooksPath) as never).validate();
    assert.deepEqual(
      names.map((name) => new X509Certificate(inForce()).checkHost(name)),
      names,
    );
  });

  it("a second one has nothing to do", async () => {
    apply();
    await run();
    asked = [];
    const { code, told } = await run();
    assert.deepEqual([code, told.renewed, told.bundled], [0, false, false]);
    assert.ok(asked.every((what) => what.startsWith("GET")));
  });
});

describe("a run", () => {
  it("renews with a third of its days left, and API servers go on believing the one before", async () => {
    const old = issue(90, 61);
    put(secretPath, secretOf(old));
    apply(old.ca);
    const { told } = await run();
    assert.equal(told.renewed && told.reason?.startsWith("it ends 20"), true);
    assert.notEqual(inForce(), old.cert);
    for (const bundle of bundles()) assert.ok(isBelieved(bundle) && isBelieved(bundle, old.cert));
    assert.equal(objects.get(secretPath)?.data?.["other"], "kept");
  });

  it("leaves one that is good for longer", async () => {
    const good = issue(90, 59);
    put(secretPath, secretOf(good));
    apply(good.ca);
    assert.equal((await run()).told.renewed, false);
    assert.equal(inForce(), good.cert);
  });

  it("puts the authority back where somebody took it away, and drops those that are over", async () => {
    const good = issue(90);
    put(secretPath, secretOf(good));
    const [over, other] = [issue(1, 3), issue(90)];
    apply(`${over.ca}${other.ca}not a certificate\n`);
    const { told } = await run();
    assert.deepEqual([told.renewed, told.bundled], [false, true]);
    assert.deepEqual(certificatesIn(bundles()[0] ?? ""), [good.ca.trim(), other.ca.trim()]);
  });

  for (const [what, spoil] of [
    ["its key is another's", { "tls.key": encoded(issue(90).key) }],
    ["its authority is another's", { "ca.crt": encoded(issue(90).ca) }],
    ["it cannot be read", { "tls.crt": encoded("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n") }],
    ["a part is not there", { "tls.key": "" }],
    ["it is for other names", { "tls.crt": encoded(makeCertificate().cert) }],
  ] as const) {
    it(`makes a new one where ${what}`, async () => {
      const found = secretOf(issue(90));
      put(secretPath, { ...found, data: { ...found.data, ...spoil } });
      apply();
      assert.equal((await run()).told.renewed, true);
      assert.ok(isBelieved(bundles()[0] ?? ""));
    });
  }

  it("beside another one ends with one certificate, which is believed", async () => {
    apply();
    const both = await Promise.all([run(), run()]);
    assert.deepEqual(
      both.map(({ code }) => code),
      [0, 0],
    );
    assert.ok(bundles().every((bundle) => isBelieved(bundle)));
  });

  it("starts over where somebody changed what it read", async () => {
    apply();
    let once = true;
    meanwhile = (what) => {
      if (!once || !what.startsWith("PATCH")) return;
      once = false;
      apply(issue(90).ca);
    };
    assert.equal((await run()).code, 0);
    assert.equal(certificatesIn(bundles()[0] ?? "").length, 2);
    assert.ok(isBelieved(bundles()[0] ?? ""));
  });
});

describe("what cannot be done is said in one sentence", () => {
  it("no webhook configuration: nothing is written", async () => {
    const { code, stderr } = await run();
    assert.equal(code, 1);
    assert.match(
      stderr,
      /answers 404: not found: apply deploy\/kubernetes\/injector\/injector\.yaml first\n$/,
    );
    assert.equal(objects.size, 0);
  });

  it("no right", async () => {
    forbidden = true;
    const { code, stderr } = await run();
    assert.equal(code, 1);
    assert.match(
      stderr,
      /answers 403: secrets is forbidden: give the service account the Role and ClusterRole of/,
    );
  });

  it("no cluster, no days, no name", async () => {
    assert.equal((await run({ days: "1" })).code, 2);
    assert.equal((await run({ secret: "../x" })).code, 2);
    env = {};
    const { code, stderr } = await run();
    assert.match(stderr, /KUBERNETES_SERVICE_HOST/);
    assert.equal(code, 2);
  });
});
