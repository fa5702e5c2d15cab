// `outrigger injector` as API servers call it: HTTPS calls, their limits, and a certificate that is renewed or expires.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, before, describe, it, mock } from "node:test";
import { loadConfig } from "../../src/app/environment.ts";
import { reviewOptions } from "../../src/cli/injector.ts";
import { type Injector, startInjector } from "../../src/injector/injector.ts";
import { type Issued, issueCertificate } from "../../src/tls/issue.ts";
import { mainFile, outrigger, startNode } from "../support/process.ts";
import { eventually } from "../support/redis.ts";

const name = "outrigger-injector.outrigger-system.svc";
const issue = (days = 90): Issued => issueCertificate({ names: [name], nowMs: Date.now(), days });
const folder = mkdtempSync(join(tmpdir(), "outrigger-injector-"));
const files = { cert: join(folder, "tls.crt"), key: join(folder, "tls.key") };
const env = {
  OUTRIGGER_SERVICE: "outrigger-injector",
  OUTRIGGER_LISTEN: "127.0.0.1:0",
  OUTRIGGER_ADMIN: "127.0.0.1:0",
  OUTRIGGER_TLS_CERT: files.cert,
  OUTRIGGER_TLS_KEY: files.key,
};
const write = ({ cert, key }: Issued): void => {
  writeFileSync(files.cert, cert);
  writeFileSync(files.key, key);
};
let issued = issue();
before(() => write(issued));
after(() => rmSync(folder, { recursive: true }));

const reviewOf = (annotations: object): string =>
  JSON.stringify({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      uid: "705ab4f5",
      kind: { group: "", version: "v1", kind: "Pod" },
      operation: "CREATE",
      namespace: "shop",
      object: {
        metadata: { generateName: "orders-", labels: { app: "orders" }, annotations },
        spec: { containers: [{ name: "app", ports: [{ containerPort: 3000 }] }] },
      },
    },
  });

interface Call {
  readonly port: number;
  readonly ca: string;
  readonly path?: string;
  readonly body?: string;
  readonly method?: string;
  readonly type?: string;
  readonly agent?: https.Agent;
}

/** As the API server calls: by the name of the Service, whose certificate must be of the authority that it was told. */
async function call({ port, ca, path = "/mutate?timeout=5s", body = reviewOf({}), ...more }: Call) {
  const { method = "POST", type = "application/json", agent } = more;
  const request = https.request({
    host: "127.0.0.1",
    port,
    ca,
    path,
    method,
    servername: name,
    headers: { "Content-Type": type },
    ...(agent === undefined ? { agent: false } : { agent }),
  });
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  return {
    status: response.statusCode,
    close: response.headers.connection,
    answer: JSON.parse(text) as { response: { allowed: boolean; patch?: string }; error?: string },
  };
}

describe("the command", () => {
  it("injects, says what it refuses, and ends well", async () => {
    const options = ["--image", "registry.example/outrigger:0.1.0", "--redis-secret", "redis"];
    const started = startNode([mainFile, "injector", ...options], { ...env, OUTRIGGER_DRAIN_MS: "200" });
    const line = (await started.said('"msg":"listening"'))
      .split("\n")
      .find((each) => each.includes("listening"));
    const { address, admin } = JSON.parse(line ?? "{}") as { address: string; admin: string };
    const port = Number(address.split(":").at(-1));
    const { status, answer } = await call({ port, ca: issued.ca });
    assert.equal(status, 200);
    const patch = Buffer.from(answer.response.patch ?? "", "base64").toString();
    assert.match(patch, /"image":"registry\.example\/outrigger:0\.1\.0"/);
    assert.match(patch, /"secretName":"redis"/);
    const wrong = await call({ port, ca: issued.ca, body: reviewOf({ "outrigger.dev/servce": "x" }) });
    assert.equal(wrong.answer.response.allowed, false);
    await started.said(
      "pod refused: annotation outrigger.dev/servce is unknown: did you mean outrigger.dev/service?",
    );
    assert.equal(await (await fetch(`http://${admin}/livez`)).text(), "ok\n");
    assert.match(
      await (await fetch(`http://${admin}/readyz?verbose`)).text(),
      /\[\+\] certificate: ends 20[^]*\nready\n$/,
    );
    started.child.kill("SIGTERM");
    assert.equal((await started.end).code, 0);
  });

  it("starts only with all that it needs", async () => {
    for (const [args, variables, said] of [
      [[], { ...env, OUTRIGGER_TLS_CERT: "", OUTRIGGER_TLS_KEY: "" }, /OUTRIGGER_TLS_CERT/],
      [
        [],
        { OUTRIGGER_LISTEN: "127.0.0.1:0" },
        /^OUTRIGGER_TLS_CERT, OUTRIGGER_TLS_KEY: the injector needs both/,
      ],
    ] as const) {
      const { code, stderr } = await startNode([mainFile, "injector", ...args], variables).end;
      assert.deepEqual([code, said.test(stderr)], [2, true], stderr);
    }
    const { code, stderr } = await outrigger(["injector", "--image", "No Image", "--namespace", "A/B"], env);
    assert.equal(code, 2);
    assert.match(stderr, /^--image must be an image.*\n--namespace must be the name of an object.*\n$/);
  });
});

describe("a running one", () => {
  let injector: Injector;
  let port: number;
  let log = "";
  const metric = async (name: string): Promise<string[]> => {
    const { port } = injector.adminAddress as AddressInfo;
    const page = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return page.split("\n").filter((line) => line.startsWith(name));
  };
  const readyz = async (): Promise<Response> =>
    fetch(`http://127.0.0.1:${(injector.adminAddress as AddressInfo).port}/readyz?verbose`);
  before(async () => {
    issued = issue();
    write(issued);
    mock.timers.enable({ apis: ["setInterval"] });
    const output = new PassThrough();
    output.on("data", (chunk: Buffer) => (log += chunk.toString()));
    const config = loadConfig({ ...env, OUTRIGGER_DRAIN_MS: "2000", OUTRIGGER_DRAIN_MIN_MS: "300" });
    const review = reviewOptions({
      image: "outrigger:0.1.0",
      redisSecret: "r",
      interceptImage: "outrigger-intercept:0.1.0",
      namespace: "outrigger-system",
    });
    injector = await startInjector(config, review, output);
    port = (injector.address as AddressInfo).port;
  });
  after(() => mock.timers.reset());

  for (const [what, given, status, error] of [
    ["another path", { path: "/" }, 404, /nothing at this path but \/mutate, \/mutate\/best-effort/],
    ["another method", { method: "GET", body: "" }, 405, /only POST/],
    ["another type", { type: "text/plain" }, 415, /only application\/json/],
    ["no JSON", { body: "{" }, 400, /not JSON/],
    ["nesting without end", { body: "[".repeat(200_000) }, 400, /nested deeper/],
    [
      "another kind of review",
      { body: '{"apiVersion":"admission.k8s.io/v1beta1"}' },
      400,
      /no AdmissionReview/,
    ],
    ["more than it reads", { body: " ".repeat(4_300_000) }, 413, /longer than/],
  ] as const) {
    it(`answers ${what} by an error, to which the failurePolicy applies`, async () => {
      const given2 = await call({ port, ca: issued.ca, ...given });
      assert.equal(given2.status, status);
      assert.match(given2.answer.error ?? "", error);
    });
  }

  it("counts what it did, by namespace and reason", async () => {
    await call({ port, ca: issued.ca });
    await call({ port, ca: issued.ca, body: reviewOf({ "outrigger.dev/x": "" }) });
    await call({
      port,
      ca: issued.ca,
      path: "/mutate/best-effort",
      body: reviewOf({ "outrigger.dev/x": "" }),
    });
    const labels = (result: string, reason: string): string =>
      `outrigger_injector_pods_total{service="outrigger-injector",namespace="shop",result="${result}",reason="${reason}"} 1`;
    assert.deepEqual(await metric("outrigger_injector_pods_total"), [
      labels("injected", ""),
      labels("refused", "annotation"),
      labels("admitted_without", "annotation"),
    ]);
    assert.ok(
      (await metric("outrigger_injector_failed_calls_total")).some((line) =>
        line.endsWith('{service="outrigger-injector",status="413"} 1'),
      ),
    );
  });

  it("lets no stranger keep the API server out, by silent connections or by bodies that do not end", async () => {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    assert.equal((await call({ port, ca: issued.ca, agent })).status, 200);
    const silent = Array.from({ length: 600 }, () => net.connect(port, "127.0.0.1").on("error", () => {}));
    await eventually("the oldest are ended", () => silent.filter((each) => each.closed).length >= 88);
    assert.equal((await call({ port, ca: issued.ca })).status, 200);
    for (const each of silent) each.destroy();

    const held = Array.from({ length: 258 }, () => {
      const request = https.request({
        host: "127.0.0.1",
        port,
        ca: issued.ca,
        servername: name,
        agent: false,
        method: "POST",
        path: "/mutate",
        headers: { "Content-Type": "application/json", "Content-Length": 100 },
      });
      request.on("error", () => {});
      request.write("{");
      return request;
    });
    await eventually("two are ended", () => held.filter((each) => each.destroyed).length >= 2, 8_000);
    assert.equal((await call({ port, ca: issued.ca })).status, 200);
    for (const each of held) each.destroy();
    agent.destroy();
  });

  it("shows a renewed certificate to new connections, and drops none that stands", async () => {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: issued.ca });
    await call({ port, ca: issued.ca, agent });
    const renewed = issue(200);
    write(renewed);
    mock.timers.tick(5_000);
    assert.equal((await call({ port, ca: renewed.ca })).status, 200);
    await assert.rejects(call({ port, ca: issued.ca }), /certificate/);
    const [socket] = Object.values(agent.freeSockets)[0] ?? [];
    assert.equal((await call({ port, ca: issued.ca, agent })).status, 200, "on the connection of before");
    assert.equal(Object.values(agent.freeSockets)[0]?.[0], socket);
    agent.destroy();
    issued = renewed;
  });

  it("says before its end, and after it, what to do", async () => {
    write(issue(5));
    mock.timers.tick(5_000);
    await eventually("it warns", () =>
      log.includes("the webhook's certificate ends within 7 days: look at the Job"),
    );
    assert.equal((await readyz()).status, 200);
    const ended = issueCertificate({ names: [name], nowMs: Date.now() - 2 * 86_400_000, days: 1 });
    write(ended);
    mock.timers.tick(5_000);
    await eventually("it complains", () =>
      /"level":50.*the webhook's certificate has ended: .*look at the Job/.test(log),
    );
    const [line = ""] = await metric("outrigger_certificate_expiry_timestamp_seconds");
    const endedAt = Number(line.split(" ").at(-1));
    assert.ok(Math.abs(Date.now() / 1000 - 86_400 - endedAt) < 60, line);
    const answer = await readyz();
    assert.deepEqual([answer.status, /\[-\] certificate: ended/.test(await answer.text())], [503, true]);
    write(issued);
    mock.timers.tick(5_000);
    assert.equal((await readyz()).status, 200);
  });

  it("ends once what comes while the Service still names it is answered", async () => {
    const agent = new https.Agent({ keepAlive: true, ca: issued.ca });
    await call({ port, ca: issued.ca, agent });
    const ending = injector.stop();
    assert.equal((await readyz()).status, 503);
    const late = await call({ port, ca: issued.ca, agent });
    assert.deepEqual([late.status, late.close], [200, "close"]);
    await ending;
    await assert.rejects(call({ port, ca: issued.ca }), /ECONNREFUSED/);
    agent.destroy();
  });
});
