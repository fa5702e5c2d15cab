// Certificates chosen by the host name that clients send, revocation lists, the minimum TLS version, and the sidecar's
// own certificate towards the service: all renewed while connections go on.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls, { type TLSSocket } from "node:tls";
import { after, before, describe, it } from "node:test";
import type { ClientTls } from "../../src/plugin-api/contract.ts";
import { type Authority, type Issued, makeAuthority } from "../plugins/auth/authority.ts";
import { connected } from "../support/fronts.ts";
import { pluginWith } from "../support/plugins.ts";
import { type RawClient, requestText } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

describe("certificates", () => {
  let folder: string;
  let authority: Authority;
  let issued: Readonly<Record<"first" | "wild" | "service" | "mine" | "next" | "good" | "bad", Issued>>;
  let service: https.Server;
  let sidecar: TestSidecar;
  let shown: (ClientTls | undefined)[] = [];
  /** Who the service was shown, by common name, and on which connection. */
  let callers: { name: unknown; socket: TLSSocket }[] = [];
  /** What the service waits for before it answers. */
  let held: Promise<void> | undefined;
  const file = (name: string): string => join(folder, name);
  const reload = (): void => void process.emit("SIGHUP", "SIGHUP");

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "outrigger-certificates-"));
    authority = makeAuthority();
    issued = {
      first: authority.issue("first", "DNS:first.example"),
      wild: authority.issue("wild", "DNS:*.wild.example,DNS:exact.example"),
      service: authority.issue("service", "DNS:service.internal"),
      mine: authority.issue("mine", "DNS:sidecar"),
      next: authority.issue("next", "DNS:sidecar"),
      good: authority.issue("good", "DNS:good"),
      bad: authority.issue("bad", "DNS:bad"),
    };
    writeFileSync(file("crl.pem"), authority.revoke());
    show(issued.mine);
    const { cert, key } = issued.service;
    service = https.createServer(
      { cert, key, ca: authority.cert, requestCert: true },
      (request, response) => {
        const socket = request.socket as TLSSocket;
        // The sidecar's own question, once a second, is no caller's, and nobody holds it.
        if (request.url === "/ready") {
          response.end();
          return;
        }
        callers.push({ name: socket.getPeerCertificate().subject.CN, socket });
        void Promise.resolve(held).then(() => response.end("ok"));
      },
    );
    service.listen(0, "127.0.0.1");
    await once(service, "listening");
    sidecar = await startSidecar({
      policy: { plugins: ["looker"] },
      registry: [pluginWith("looker", { onRequest: ({ client }) => void shown.push(client.tls) })],
      upstream: `https://127.0.0.1:${(service.address() as AddressInfo).port}`,
      env: {
        OUTRIGGER_TLS_CERT: `${issued.first.certFile}, ${issued.wild.certFile}`,
        OUTRIGGER_TLS_KEY: `${issued.first.keyFile}, ${issued.wild.keyFile}`,
        OUTRIGGER_TLS_CLIENT_CA: authority.certFile,
        OUTRIGGER_TLS_CLIENT_CRL: file("crl.pem"),
        OUTRIGGER_TLS_UNKNOWN_SNI: "refuse",
        OUTRIGGER_TLS_MIN_VERSION: "1.3",
        OUTRIGGER_UPSTREAM_CA: authority.certFile,
        OUTRIGGER_UPSTREAM_CERT: file("mine.pem"),
        OUTRIGGER_UPSTREAM_KEY: file("mine.key"),
        OUTRIGGER_UPSTREAM_SERVERNAME: "service.internal",
        OUTRIGGER_READY_UPSTREAM: "/ready",
      },
    });
  });
  after(async () => {
    await sidecar.stop();
    service.closeAllConnections();
    service.close();
    authority.close();
    rmSync(folder, { recursive: true });
  });
  const show = ({ cert, key }: Issued): void => {
    writeFileSync(file("mine.pem"), cert);
    writeFileSync(file("mine.key"), key);
  };
  const connect = (options: tls.ConnectionOptions = {}): Promise<RawClient> => {
    const place = { port: sidecar.port, host: "127.0.0.1", ca: authority.cert };
    // Whose name it is, is what the tests look at.
    return connected(
      tls.connect({ ...place, checkServerIdentity: () => undefined, ...options }),
      "secureConnect",
    );
  };
  /** @returns the certificate that plugins see */
  const ask = async (client: RawClient): Promise<X509Certificate | undefined> => {
    shown = [];
    client.send(requestText("GET", "/"));
    assert.equal((await client.answer()).body, "ok");
    const der = shown[0]?.certificate;
    return der && new X509Certificate(der);
  };

  for (const [host, name] of [
    ["first.example", "first"],
    ["shop.wild.example", "wild"],
    ["SHOP.wild.example", "wild"],
    ["exact.example", "wild"],
    [undefined, "first"],
  ] as const) {
    it(`the one of ${name} is shown to clients that name ${host ?? "no host"}`, async () => {
      const client = await connect(host === undefined ? {} : { servername: host });
      const peer = (client.socket as TLSSocket).getPeerX509Certificate();
      assert.equal(peer?.subject, `CN=${name}`);
      client.socket.destroy();
    });
  }

  for (const [what, options] of [
    ["names a host of none", { servername: "other.example" }],
    ["names a host below a wildcard's", { servername: "a.shop.wild.example" }],
    ["speaks TLS 1.2", { maxVersion: "TLSv1.2" }],
  ] as const) {
    it(`a handshake that ${what} ends there`, async () => {
      await assert.rejects(connect(options));
    });
  }

  it("a revoked one does not count from the next reload, by no session of before either", async () => {
    const { good, bad } = issued;
    for (const servername of ["first.example", "shop.wild.example"]) {
      writeFileSync(file("crl.pem"), authority.revoke(good));
      reload();
      const before = await connect({ ...bad, servername });
      const sessions = once(before.socket, "session") as Promise<[Buffer]>;
      assert.equal((await ask(before))?.subject, "CN=bad");
      const [session] = await sessions;
      // A list can run out as well, and no reload comes with it.
      const again = await connect({ ...bad, servername, session });
      assert.equal((again.socket as TLSSocket).isSessionReused(), false);
      assert.equal((await ask(again))?.subject, "CN=bad");
      writeFileSync(file("crl.pem"), authority.revoke(bad));
      reload();
      for (const options of [{}, { session }, { session, ...good }]) {
        const client = await connect({ ...bad, servername, ...options });
        assert.equal((client.socket as TLSSocket).isSessionReused(), false);
        assert.equal((await ask(client))?.subject, "cert" in options ? "CN=good" : undefined);
        client.socket.destroy();
      }
      before.socket.destroy();
      again.socket.destroy();
    }
  });

  it("a connection ends whose certificate a new list names, at once or with what it waits for, and no other", async () => {
    const { good, bad } = issued;
    const servername = "first.example";
    writeFileSync(file("crl.pem"), authority.revoke());
    reload();
    const [idle, busy, other] = [
      await connect({ ...bad, servername }),
      await connect({ ...bad, servername }),
      await connect({ ...good, servername }),
    ];
    for (const client of [idle, busy, other]) assert.notEqual(await ask(client), undefined);
    const session = http2.connect(`https://127.0.0.1:${sidecar.port}`, {
      ca: authority.cert,
      cert: bad.cert,
      key: bad.key,
      servername,
      checkServerIdentity: () => undefined,
    });
    const waiting = Promise.withResolvers<void>();
    held = waiting.promise;
    const overHttp2 = session.request({ ":path": "/" }).resume();
    busy.send(requestText("GET", "/"));
    callers = [];
    await eventually("both wait", () => callers.length === 2);
    const ends = [idle, busy].map(({ socket }) => once(socket, "close"));
    const goes = once(session, "goaway");
    writeFileSync(file("crl.pem"), authority.revoke(bad));
    reload();
    await Promise.all([ends[0], goes]);
    waiting.resolve();
    held = undefined;
    const { head, body } = await busy.answer();
    assert.match(head, /connection: close/i);
    assert.equal(body, "ok");
    const [[headers]] = await Promise.all([once(overHttp2, "response"), ends[1]]);
    assert.equal((headers as http2.IncomingHttpHeaders)[":status"], 200);
    assert.equal((await ask(other))?.subject, "CN=good");
    await sidecar.line(
      ({ msg, connections }) => /client certificates are revoked/.test(String(msg)) && connections === 3,
    );
    session.destroy();
    other.socket.destroy();
  });

  it("a list of no authority of theirs leaves none that counts", async () => {
    const other = makeAuthority("another");
    writeFileSync(file("crl.pem"), other.revoke());
    other.close();
    reload();
    const client = await connect(issued.good);
    assert.equal(await ask(client), undefined);
    client.socket.destroy();
  });

  it("authorities whose file is emptied are those of before, for clients' and the service's", async () => {
    writeFileSync(file("crl.pem"), authority.revoke());
    reload();
    writeFileSync(authority.certFile, "");
    reload();
    const client = await connect(issued.good);
    assert.equal((await ask(client))?.subject, "CN=good");
    writeFileSync(authority.certFile, authority.cert);
    reload();
    assert.equal((await ask(client))?.subject, "CN=good");
    client.socket.destroy();
  });

  it("our own is shown to the service; a renewed one from the next request on, and none is broken off for it", async () => {
    const client = await connect();
    callers = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    held = promise;
    const underWay = ask(client);
    await eventually("it is with the service", () => callers.length > 0);
    show(issued.next);
    reload();
    resolve();
    await underWay;
    await ask(client);
    await ask(client);
    assert.deepEqual(
      callers.map(({ name }) => name),
      ["mine", "next", "next"],
    );
    assert.equal(callers[1]?.socket, callers[2]?.socket);
    // One that is idle meanwhile.
    show(issued.mine);
    reload();
    await ask(client);
    assert.equal(callers[3]?.name, "mine");
    client.socket.destroy();
  });

  it("the readiness of the service is asked with it, too", async () => {
    assert.equal((await fetch(`${sidecar.adminUrl}/readyz`)).status, 200);
  });

  it("the ends of both are metrics", async () => {
    const text = await sidecar.metrics();
    for (const place of ["listener", "upstream"])
      assert.match(
        text,
        new RegExp(`^outrigger_certificate_expiry_timestamp_seconds\\{[^}]*of="${place}"`, "m"),
      );
  });
});
