// Whether clients can reach a service past its sidecar: what /proc says, and what follows from it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { endianness, tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { BypassWatch } from "../../../src/app/bypass-watch.ts";
import { parseUpstream } from "../../../src/config/formats.ts";
import { type Bypass, type BypassOptions, lookForBypass } from "../../../src/intercept/bypass.ts";
import { listeningAt } from "../../../src/intercept/listening.ts";
import { eventually } from "../../support/redis.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-bypass-"));
after(() => rmSync(folder, { recursive: true }));

const head =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const line = (local: string, state = "0A") =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n`;

describe("sockets that listen", { skip: endianness() !== "LE" }, () => {
  const files = (tcp: string, tcp6?: string): string => {
    rmSync(join(folder, "tcp6"), { force: true });
    writeFileSync(join(folder, "tcp"), head + tcp);
    if (tcp6 !== undefined) writeFileSync(join(folder, "tcp6"), head + tcp6);
    return folder;
  };

  it("are found by their port, in both families", async () => {
    const mapped = "0000000000000000FFFF00000100007F:0BB8";
    const six = "B80D0120000000000000000001000000:0BB8";
    const found = files(
      line("0100007F:0BB8") + line("00000000:0BB9") + line("0200000A:0BB8"),
      line(mapped) + line(six) + line("00000000000000000000000000000000:0BB8"),
    );
    assert.deepEqual(await listeningAt(3000, found), [
      "127.0.0.1",
      "10.0.0.2",
      "127.0.0.1",
      "2001:db8::1",
      "::",
    ]);
    assert.deepEqual(await listeningAt(3001, found), ["0.0.0.0"]);
  });

  it("end where connections begin, and are all of them over many reads", async () => {
    const many = Array.from({ length: 3_000 }, () => line("0100007F:0001")).join("");
    const found = files(many + line("00000000:0BB8") + line("0200000A:0BB8", "01") + line("0300000A:0BB8"));
    assert.deepEqual(await listeningAt(3000, found), ["0.0.0.0"]);
  });

  it("are not known where the system does not tell", async () => {
    assert.equal(await listeningAt(3000, join(folder, "none")), undefined);
    const found = files(line("0100007F:0BB8"));
    mkdirSync(join(found, "tcp6"));
    assert.equal(await listeningAt(3000, found), undefined, "one family alone is no answer");
    rmdirSync(join(found, "tcp6"));
  });

  it("are those of this machine", { skip: process.platform !== "linux" }, async () => {
    const server = createServer().listen(0, "127.0.0.2");
    await once(server, "listening");
    assert.deepEqual(await listeningAt((server.address() as AddressInfo).port), ["127.0.0.2"]);
    server.close();
  });
});

describe("the service", () => {
  const here = parseUpstream("http://127.0.0.1:3000");
  /** @param tried how connections to the probe and beside it end */
  const stateOf = async (
    at: readonly string[] | undefined,
    tried: readonly string[] = [],
    own: readonly string[] = [],
  ) => {
    const left = [...tried];
    const options: BypassOptions = {
      own,
      listening: () => Promise.resolve(at),
      tried: () => Promise.resolve(left.shift() ?? assert.fail("one connection too many")),
    };
    return (await lookForBypass(here, options)).state;
  };
  for (const [what, at, tried, state] of [
    ["on loopback alone", ["127.0.0.1", "::1", "127.0.0.9"], [], "closed"],
    ["at all addresses", ["127.0.0.1", "0.0.0.0"], ["connected"], "open"],
    [
      "at one other address, and nobody at the probe's",
      ["10.0.0.2"],
      ["ECONNREFUSED", "ECONNREFUSED"],
      "open",
    ],
    ["at an address where the probe ends otherwise", ["10.0.0.2"], ["timeout"], "open"],
    ["at all addresses, with nftables' rules", ["::"], ["EHOSTUNREACH"], "intercepted"],
    [
      "at all addresses, with a program that refuses the probe",
      ["::"],
      ["ECONNREFUSED", "connected"],
      "intercepted",
    ],
    [
      "at one other address, and somebody beside the probe's",
      ["10.0.0.2", "127.0.79.83"],
      ["ECONNREFUSED"],
      "open",
    ],
    ["not there", [], [], "unknown"],
    ["where the system does not tell", undefined, [], "unknown"],
  ] as const)
    it(`${what}: ${state}`, async () => assert.equal(await stateOf(at, tried), state));

  it("has the sidecar's own sockets beside it", async () => {
    assert.equal(await stateOf(["127.0.0.1", "10.0.0.2"], [], ["10.0.0.2:3000"]), "closed");
  });

  it("at a unix socket is closed, elsewhere unknown", async () => {
    assert.equal((await lookForBypass(parseUpstream("unix:/a"))).state, "closed");
    assert.equal((await lookForBypass(parseUpstream("http://orders:80"))).state, "unknown");
  });
});

it("each state is told once: in the metric, the log, the checks, and to whoever asks", async () => {
  const told: string[] = [];
  const gauges = new Map<string, number>();
  const results: Bypass[] = ["open", "open", "closed"].map((state) => ({
    state: state as "open",
    detail: `it is ${state}`,
  }));
  const log = (level: string) => (_: object, message: string) => void told.push(`${level} ${message}`);
  const logger = { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
  const none = () => assert.fail("no other metric");
  const gauge =
    (name: string) =>
    (state = "") => ({ set: (value: number) => void gauges.set(`${name} ${state}`, value) });
  const watch = new BypassWatch({
    config: { upstream: parseUpstream("http://127.0.0.1:1"), listen: [], admin: { path: "/a" } },
    logger,
    metrics: { gauge, counter: none, histogram: none },
    onChange: () => void told.push("changed"),
    everyMs: 1,
    look: () => Promise.resolve(results.length > 1 ? (results.shift() as Bypass) : (results[0] as Bypass)),
  });
  await eventually("it was looked at three times", () => Promise.resolve(watch.current?.state === "closed"));
  watch.close();
  assert.deepEqual(told, [
    "warn it is open",
    "changed",
    "info the service is not reached past the sidecar any more",
    "changed",
  ]);
  const name = "outrigger_upstream_bypass";
  assert.equal(gauges.get(`${name} open`), 0);
  assert.equal(gauges.get(`${name} closed`), 1);
  assert.deepEqual(watch.checks, [{ name: "bypass", ok: true, detail: "closed: it is closed" }]);
});
