// Sidecars of two trust domains: each domain's authorities vouch only for its own ids.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { after, before, beforeEach, describe, it } from "node:test";
import { type Authority, type Issued, makeAuthority } from "../plugins/auth/authority.ts";
import { connected } from "../support/fronts.ts";
import { type RawClient, requestText } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const [cart, till] = ["spiffe://shop.example/cart", "spiffe://bank.example/till"];

describe("SPIFFE federation", () => {
  const place = mkdtempSync(join(tmpdir(), "outrigger-federation-"));
  const folder = join(place, "bundles");
  let shop: Authority;
  let bank: Authority;
  let issued: Record<"shop" | "bank" | "shopByBank" | "bankByShop" | "thirdByBank", Issued>;
  let sidecar: TestSidecar;

  const write = (bundles: Record<string, string>): void => {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    for (const [name, text] of Object.entries(bundles)) writeFileSync(join(folder, name), text);
  };
  const reload = (): void => void process.emit("SIGHUP", "SIGHUP");
  const federate = (bundles: Record<string, string>): void => {
    write(bundles);
    reload();
  };
  const spiffe = ({ certFile, keyFile }: Issued, bundle: Authority) => ({
    OUTRIGGER_SPIFFE_CERT: certFile,
    OUTRIGGER_SPIFFE_KEY: keyFile,
    OUTRIGGER_SPIFFE_BUNDLE: bundle.certFile,
    OUTRIGGER_SPIFFE_FEDERATED_BUNDLES: folder,
  });
  before(async () => {
    [shop, bank] = [makeAuthority("shop"), makeAuthority("bank")];
    issued = {
      shop: shop.issue("cart", `URI:${cart}`),
      bank: bank.issue("till", `URI:${till}`),
      shopByBank: bank.issue("a", `URI:${cart}`),
      bankByShop: shop.issue("b", `URI:${till}`),
      thirdByBank: bank.issue("c", "URI:spiffe://third.example/x"),
    };
    write({ "bank.example.pem": bank.cert });
    const rules = [{ path: "/*", peer: ["spiffe://shop.example/*", "spiffe://bank.example/*"] }];
    sidecar = await startSidecar({
      policy: { plugins: ["auth"], pluginConfig: { auth: { required: false, rules } } },
      upstream: (_request, response) => response.end("ok"),
      env: spiffe(shop.issue("orders", "URI:spiffe://shop.example/orders"), shop),
    });
  });
  beforeEach(() => federate({ "bank.example.pem": bank.cert }));
  after(async () => {
    await sidecar.stop();
    for (const each of [shop, bank]) each.close();
    rmSync(place, { recursive: true });
  });

  const connect = ({ cert, key }: { cert: string; key: string }): Promise<RawClient> => {
    const options = { port: sidecar.port, host: "127.0.0.1", ca: shop.cert, cert, key };
    return connected(tls.connect({ ...options, checkServerIdentity: () => undefined }), "secureConnect");
  };
  const statusOn = async (client: RawClient): Promise<number> => {
    client.send(requestText("GET", "/x", []));
    return (await client.answer()).status;
  };
  const statusOf = async (shown: { cert: string; key: string }): Promise<number> => {
    const client = await connect(shown);
    const status = await statusOn(client);
    client.socket.destroy();
    return status;
  };

  it("takes a peer by the bundle of the domain that its id names, and by no other", async () => {
    const { shop: own, bank: other, ...wrong } = issued;
    assert.equal(await statusOf(own), 200);
    assert.equal(await statusOf(other), 200);
    for (const [what, each] of Object.entries(wrong)) assert.equal(await statusOf(each), 401, what);
  });

  it("takes a chain that leads there, within its bounds", async () => {
    const sign = (by: Issued, ...extensions: string[]): { cert: string; key: string } => {
      const leaf = bank.issueBy(by, "leaf", `URI:${till}`, ...extensions);
      return { cert: leaf.cert + by.cert, key: leaf.key };
    };
    const authority = (name: string, ...more: string[]): Issued =>
      bank.issue(name, "", "basicConstraints=critical,CA:TRUE,pathlen:0", ...more);
    assert.equal(await statusOf(sign(authority("within"))), 200);
    // OpenSSL would take it; the walk towards a domain's authorities reads no constraints of names, so nobody has any.
    const constrained = authority("constrained", "nameConstraints=permitted;URI:bank.example");
    assert.equal(await statusOf(sign(constrained)), 401);
    // Somebody's leaf is no authority, whoever signed it.
    assert.equal(await statusOf(sign(issued.bank)), 401);
  });

  it("ends trust with the bundle, on connections that stand too, and begins it anew", async () => {
    const [stays, goes] = [await connect(issued.shop), await connect(issued.bank)];
    assert.deepEqual([await statusOn(stays), await statusOn(goes)], [200, 200]);
    federate({});
    await eventually(
      "the connection of the peer ends",
      () => goes.socket.destroyed || goes.socket.readableEnded,
    );
    assert.equal(await statusOf(issued.bank), 401);
    assert.equal(await statusOn(stays), 200);
    stays.socket.destroy();
    rmSync(folder, { recursive: true });
    reload();
    assert.deepEqual([await statusOf(issued.bank), await statusOf(issued.shop)], [401, 200]);
    federate({ "bank.example.pem": bank.cert });
    assert.equal(await statusOf(issued.bank), 200);
  });

  it("leaves out bundles that cannot be taken, says so, and takes the rest", async () => {
    const long = "-".repeat(65_537);
    for (const [name, text] of [
      ["third.example.pem", bank.cert.slice(0, -40)],
      ["third.example.pem", `${bank.cert}${long}`],
      ["third.example.pem", "x"],
      ["third.example.pem", issued.bank.cert],
      ["third.example.pem", bank.cert.repeat(200)],
      // It would vouch for our own.
      ["shop.example.pem", bank.cert],
      ["Third.Example.pem", bank.cert],
    ] as const) {
      const told = sidecar.lines.length;
      federate({ "bank.example.pem": bank.cert, [name]: text });
      await eventually(`${name} is told of`, () =>
        sidecar.lines
          .slice(told)
          .some(
            ({ msg, faults }) => /are not taken/.test(String(msg)) && JSON.stringify(faults).includes(name),
          ),
      );
      assert.equal(await statusOf(issued.bank), 200);
      assert.equal(await statusOf(issued.thirdByBank), 401);
      assert.equal(await statusOf(issued.shopByBank), 401);
    }
  });

  it("calls others by egress likewise", async () => {
    const statuses: (number | undefined)[] = [];
    for (const { certFile, keyFile } of [issued.bank, issued.bankByShop]) {
      await using callee = await startSidecar({
        policy: { plugins: [] },
        upstream: (_request, response) => response.end("of the bank"),
        env: { OUTRIGGER_TLS_CERT: certFile, OUTRIGGER_TLS_KEY: keyFile },
      });
      await using caller = await startSidecar({
        policy: { plugins: [] },
        upstream: (_request, response) => response.end("of the shop"),
        env: {
          ...spiffe(issued.shop, shop),
          OUTRIGGER_EGRESS: "127.0.0.1:0",
          OUTRIGGER_EGRESS_TO: `till=127.0.0.1:${callee.port}=${till}`,
        },
      });
      const { address } = await caller.line(({ msg }) => msg === "listening for the service's own calls");
      const call = async (): Promise<number | undefined> => {
        const port = String(address).split(":")[1];
        const request = http.get({ host: "127.0.0.1", port, headers: { Host: "till" } });
        const [response] = (await once(request, "response")) as [http.IncomingMessage];
        response.resume();
        await once(response, "end");
        return response.statusCode;
      };
      statuses.push(await call());
      federate({});
      statuses.push(await call());
      federate({ "bank.example.pem": bank.cert });
    }
    assert.deepEqual(statuses, [200, 502, 502, 502]);
  });
});
