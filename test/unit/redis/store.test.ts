// The store on one real server: the result of each call, and what happens if the server is slow, gone or wrong.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import type { ConnectionStateChange } from "../../../src/redis/connection-state.ts";
import type { RedisStore, StoreOptions } from "../../../src/redis/store.ts";
import { type Script, StoreUnavailable } from "../../../src/plugin-api/store.ts";
import { eventually } from "../../support/redis.ts";
import { storesOf } from "../../support/redis-store.ts";

const { closing, server, open } = storesOf("store-test");

async function openUp(url: string, options: Partial<StoreOptions> = {}): Promise<RedisStore> {
  const store = open(url, options);
  assert.equal(await store.whenUp(5_000), true);
  return store;
}

const unavailable = (pattern: RegExp, code?: string) => (error: unknown) => {
  assert.ok(error instanceof StoreUnavailable);
  assert.match(error.message, pattern);
  assert.equal(error.code, code);
  assert.equal(error.cause, undefined, "no cause: ioredis hangs the command's data on its errors");
  return true;
};

const add: Script = { name: "add", lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" };
const fail: Script = { name: "fail", lua: "return redis.error_reply('BROKEN as asked')" };

test("values are set, read as text and bytes, and deleted, all under the prefix", async () => {
  const redis = await server();
  const store = await openUp(redis.url);
  assert.equal(await store.set("text", "ä"), true);
  assert.equal(await redis.cli.get("outrigger:text"), "ä");
  assert.equal(await store.get("text"), "ä");
  assert.equal(await store.get("nothing"), null);
  const bytes = Buffer.from([0, 255, 13, 10]);
  await store.set("bytes", bytes);
  assert.deepEqual(await store.getBytes("bytes"), bytes);
  assert.equal(await store.getBytes("nothing"), null);
  assert.equal(await store.delete("text", "bytes", "nothing"), 2);
  assert.equal(await store.delete(), 0);
  assert.equal(await redis.cli.dbsize(), 0);
});

test("a value lives as long as its time to live says, and ifAbsent keeps the first", async () => {
  const redis = await server();
  const store = await openUp(redis.url);
  assert.equal(await store.set("lease", "mine", { ttlMs: 5_000.5, ifAbsent: true }), true);
  assert.equal(await store.set("lease", "yours", { ttlMs: 5_000, ifAbsent: true }), false);
  assert.equal(await store.get("lease"), "mine");
  const left = await redis.cli.pttl("outrigger:lease");
  assert.ok(left > 4_000 && left <= 5_001, `${left} ms left`);
});

test("streams are capped and keep their fields", async () => {
  const redis = await server(["--stream-node-max-entries", "10"]);
  const store = await openUp(redis.url);
  for (let line = 0; line < 60; line++)
    await store.append("logs:users", { line: String(line), level: "info" }, 20);
  const length = await redis.cli.xlen("outrigger:logs:users");
  assert.ok(length >= 20 && length <= 30, `${length} entries`);
  const [[, fields]] = (await redis.cli.xrevrange("outrigger:logs:users", "+", "-", "COUNT", 1)) as [
    [string, string[]],
  ];
  assert.deepEqual(fields, ["line", "59", "level", "info"]);
});

test("a scan gives the keys below a prefix without the global one, at most so many, and takes no pattern", async () => {
  const redis = await server();
  const store = await openUp(redis.url, { keyPrefix: "a*[b]:" });
  await redis.cli.mset(
    Object.fromEntries(Array.from({ length: 1_500 }, (_, i) => [`a*[b]:fleet:${i}`, "1"])),
  );
  await redis.cli.mset({ "axb:fleet:foreign": "1", "a*[b]:flee?:x": "1", "a*[b]:policy": "1" });
  const all = await store.scan("fleet:", 10_000);
  assert.equal(all.length, 1_500);
  assert.ok(all.every((key) => /^fleet:\d+$/u.test(key)));
  assert.equal((await store.scan("fleet:", 7)).length, 7);
  assert.deepEqual(await store.scan("flee?:", 10), ["flee?:x"]);
  assert.deepEqual(await store.scan("nothing:", 10), []);
});

test("a script runs by its digest, and a flushed script cache is filled again unseen", async () => {
  const redis = await server();
  const store = await openUp(redis.url);
  assert.equal(await store.run(add, ["n"], [2]), 2);
  assert.equal(await store.run(add, ["n"], ["3"]), 5);
  await redis.cli.script("FLUSH");
  assert.equal(await store.run(add, ["n"], [Buffer.from("1")]), 6);
  assert.equal(await redis.cli.get("outrigger:n"), "6");
  const stats = await redis.cli.info("commandstats");
  assert.match(stats, /cmdstat_eval:calls=2,/u);
});

test("several scripts leave in one write, and each has its own outcome in order", async () => {
  const redis = await server();
  const store = await openUp(redis.url);
  await store.runAll([
    { script: add, keys: ["x"], args: [0] },
    { script: fail, keys: ["x"], args: [] },
  ]);
  const reads = async (): Promise<number> =>
    Number(/total_reads_processed:(\d+)/u.exec(await redis.cli.info("stats"))?.[1]);
  const before = await reads();
  const calls = Array.from({ length: 20 }, (_, i) =>
    i === 7 ? { script: fail, keys: ["x"], args: [] } : { script: add, keys: ["x"], args: [1] },
  );
  const outcomes = await store.runAll(calls);
  assert.equal((await reads()) - before, 2, "the batch, and this question");
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.status === "fulfilled" ? outcome.value : String(outcome.reason))),
    calls.map((_, i) => (i === 7 ? "StoreUnavailable: evalsha: BROKEN" : i < 7 ? i + 1 : i)),
  );
  assert.deepEqual(await store.runAll([]), []);
});

test("an error reply is StoreUnavailable with its code word and nothing of the data", async () => {
  const redis = await server();
  const store = await openUp(redis.url);
  await redis.cli.lpush("outrigger:list", "1");
  await assert.rejects(store.get("list"), unavailable(/^get: WRONGTYPE$/u, "WRONGTYPE"));
  await assert.rejects(store.run(fail, ["secret-key"], ["secret"]), unavailable(/^eval: BROKEN$/u, "BROKEN"));
  await assert.rejects(store.append("s", {}, 1), unavailable(/^xadd: ERR$/u, "ERR"));
  for (let i = 0; i < 10; i++) await assert.rejects(store.get("list"));
  assert.equal(store.up, true, "wrong commands say nothing about Redis");
});

test("a read-only replica is answered as READONLY", async () => {
  const master = await server();
  const replica = await server(["--replicaof", "127.0.0.1", String(master.port)]);
  const store = await openUp(replica.url);
  await assert.rejects(store.set("k", "v"), unavailable(/^set: READONLY$/u, "READONLY"));
});

test("without the password the store is down with NOAUTH or WRONGPASS and never says the password", async () => {
  const redis = await server(["--requirepass", "pa:ss/word"]);
  const states: ConnectionStateChange[] = [];
  const onState = (state: ConnectionStateChange): void => void states.push(state);
  const none = open(redis.url, { onState });
  const wrong = open(redis.url.replace("//", "//:not-this-one@"), { onState });
  assert.equal(await none.whenUp(300), false);
  assert.equal(await wrong.whenUp(300), false);
  await assert.rejects(none.get("k"), unavailable(/^get: Redis is out of reach$/u));
  assert.deepEqual(states.map(({ of, up, reason }) => `${of} ${up} ${reason}`).sort(), [
    "commands false NOAUTH",
    "commands false WRONGPASS",
  ]);
  const right = await openUp(redis.url.replace("//", "//:pa%3Ass%2Fword@"));
  assert.equal(await right.set("k", "v"), true);
});

test("a user, a password and a database from the address are used, and a database that is not there is refused", async () => {
  const redis = await server(["--databases", "4"]);
  await redis.cli.call("ACL", "SETUSER", "side", "on", ">car", "~outrigger:*", "&*", "+@all");
  const store = await openUp(`redis://side:car@127.0.0.1:${redis.port}/3`);
  await store.set("k", "v");
  await redis.cli.select(3);
  assert.equal(await redis.cli.get("outrigger:k"), "v");
  const states: ConnectionStateChange[] = [];
  const astray = open(`${redis.url}/9`, { onState: (state) => states.push(state) });
  assert.equal(await astray.whenUp(300), false);
  assert.deepEqual(states, [{ of: "commands", up: false, reason: "ERR" }]);
});

test("of a long value no more is read than is asked for, also by a user who may only GET", async () => {
  const redis = await server();
  const long = Buffer.alloc(1_000_000, "x");
  await redis.cli.set("outrigger:long", long);
  await redis.cli.set("outrigger:empty", "");
  const store = await openUp(redis.url);
  assert.equal((await store.getBytes("long", undefined, 10))?.length, 11);
  assert.equal((await store.getBytes("long", undefined, 2_000_000))?.length, long.length);
  assert.deepEqual(await store.getBytes("empty", undefined, 10), Buffer.alloc(0));
  assert.equal(await store.getBytes("nothing", undefined, 10), null);
  await redis.cli.call(
    "ACL",
    "SETUSER",
    "old",
    ..."on >car -@all +info +get +client|setname ~outrigger:*".split(" "),
  );
  const old = await openUp(`redis://old:car@127.0.0.1:${redis.port}`);
  assert.equal((await old.getBytes("long", undefined, 10))?.length, long.length);
});

test("these permissions are enough for everything the store does", async () => {
  const redis = await server();
  const commands =
    "+info +ping +get +set +unlink +scan +xadd +evalsha +eval +subscribe +unsubscribe +incrby +pexpire";
  const client = "+client|id +client|tracking +client|setname";
  const rules = `on >car -@all ${commands} ${client} resetchannels &__redis__:invalidate ~outrigger:*`;
  await redis.cli.call("ACL", "SETUSER", "side", ...rules.split(" "));
  const store = await openUp(`redis://side:car@127.0.0.1:${redis.port}`);
  const told: (string | null)[] = [];
  store.watch("k", (key) => told.push(key));
  await eventually("the watch begins", () => told.includes(null));
  await store.set("k", "v");
  assert.equal(await store.get("k"), "v");
  assert.deepEqual(await store.scan("k", 10), ["k"]);
  assert.equal(await store.delete("k"), 1);
  await store.append("s", { f: "v" }, 10);
  assert.equal(await store.run(add, ["n"], [1]), 1);
  await eventually("told", () => told.includes("k"));
  assert.equal(
    await redis.cli.call("ACL", "LOG").then((log) => JSON.stringify(log)),
    "[]",
    "nothing was refused",
  );
});

test("a call on a frozen server ends within its time limit, the breaker opens, and a probe closes it", async () => {
  const redis = await server();
  const states: ConnectionStateChange[] = [];
  const store = await openUp(redis.url, { limitMs: 110, onState: (state) => states.push(state) });
  redis.freeze();
  let soonest = Infinity;
  for (let i = 0; i < 5; i++) {
    assert.equal(store.up, true);
    const startedAt = performance.now();
    await assert.rejects(store.get("k"), unavailable(/^get: no answer in time$/u));
    const took = performance.now() - startedAt;
    assert.ok(took >= 105, `${took} ms`);
    soonest = Math.min(soonest, took);
  }
  assert.ok(soonest < 300, `${soonest} ms`);
  assert.equal(store.up, false);
  await assert.rejects(store.get("k"), unavailable(/^get: Redis is out of reach$/u));
  redis.thaw();
  assert.equal(await store.whenUp(5_000), true);
  assert.equal(store.up, true);
  assert.deepEqual(
    states.map((state) => state.up),
    [true, false, true],
  );
});

test("a stall of our own process is not taken for one of Redis", async () => {
  const redis = await server();
  const store = await openUp(redis.url, { limitMs: 20 });
  const calls = Array.from({ length: 50 }, (_, i) => store.set(`k${i}`, "v"));
  await new Promise(setImmediate); // written
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  await Promise.all(calls);
});

test("many calls that fail in one stall do not open the breaker", async () => {
  const redis = await server();
  const store = await openUp(redis.url);
  redis.freeze();
  const outcomes = await Promise.allSettled(Array.from({ length: 100 }, () => store.get("k", 20)));
  redis.thaw();
  assert.ok(outcomes.every(({ status }) => status === "rejected"));
  assert.equal(store.up, true);
  assert.equal(await store.get("k", 2_000), null);
});

test("an answer that comes after its call timed out goes to nobody else", async () => {
  const redis = await server();
  const store = await openUp(redis.url);
  await redis.cli.mset({ "outrigger:a": "A", "outrigger:b": "B" });
  redis.freeze();
  const late = store.get("a", 30);
  const patient = store.get("b", 2_000);
  await assert.rejects(late, unavailable(/no answer in time/u));
  redis.thaw();
  assert.equal(await patient, "B");
  assert.equal(await store.get("a"), "A");
});

test("a half-open connection is left behind and the store comes back", async () => {
  const redis = await server();
  const store = await openUp(redis.url, { limitMs: 50 });
  const ids = async (): Promise<string[]> =>
    String(await redis.cli.client("LIST"))
      .split("\n")
      .filter((line) => line.includes("name=store-test"))
      .map((line) => /^id=(\d+)/u.exec(line)?.[1] ?? "");
  const before = await ids();
  redis.freeze();
  await assert.rejects(store.get("k"), unavailable(/no answer in time/u));
  // The socket's time limit ends the connection; the new one waits in the frozen server's backlog.
  await eventually("the store sees the connection end", () => !store.up, 5_000);
  redis.thaw();
  await eventually(
    "calls are answered again",
    () =>
      store.get("k").then(
        () => true,
        () => false,
      ),
    8_000,
  );
  assert.notDeepEqual(await ids(), before);
});

test("a killed server fails calls at once, and the restarted one serves again with its scripts", async () => {
  const redis = await server();
  const states: ConnectionStateChange[] = [];
  const store = await openUp(redis.url, { onState: (state) => states.push(state) });
  assert.equal(await store.run(add, ["n"], [1]), 1);
  redis.freeze();
  const flying = store.run(add, ["n"], [1], 5_000);
  const ended = assert.rejects(flying, unavailable(/^evalsha: (connection lost|ECONNRESET)$/u));
  await redis.kill();
  await ended;
  await eventually("the store sees it", () => !store.up);
  await assert.rejects(store.get("n"), unavailable(/out of reach/u));
  await redis.restart();
  assert.equal(await store.whenUp(5_000), true);
  assert.equal(await store.run(add, ["n"], [1]), 1, "what was in flight was not sent again");
  assert.deepEqual(
    states.map(({ up }) => up),
    [true, false, true],
    "one report a change, however many attempts",
  );
});

test("a command in flight when its connection is cut fails at once and is never sent again", async () => {
  const redis = await server();
  const store = await openUp(redis.url);
  await redis.cli.call("CLIENT", "PAUSE", "10000", "WRITE");
  const flying = store.run(add, ["n"], [1], 5_000);
  const ended = assert.rejects(flying, unavailable(/^evalsha: connection lost$/u));
  await eventually("it is held by the server", async () =>
    String(await redis.cli.client("LIST")).includes("cmd=evalsha"),
  );
  const id = /id=(\d+) [^\n]*name=store-test/u.exec(String(await redis.cli.client("LIST")))?.[1];
  await redis.cli.call("CLIENT", "KILL", "ID", String(id));
  await ended;
  await eventually("the store sees it", () => !store.up);
  assert.equal(await store.whenUp(5_000), true);
  await redis.cli.call("CLIENT", "UNPAUSE");
  assert.equal(await store.run(add, ["n"], [1]), 1);
});

test("a store opened before its server finds it", async () => {
  const redis = await server();
  await redis.stop();
  const states: ConnectionStateChange[] = [];
  const store = open(redis.url, { onState: (state) => states.push(state) });
  assert.equal(await store.whenUp(200), false);
  assert.deepEqual(states, [{ of: "commands", up: false, reason: "ECONNREFUSED" }]);
  await redis.restart();
  assert.equal(await store.whenUp(5_000), true);
});

test("every command is measured with its name, its seconds and whether it went well", async () => {
  const redis = await server();
  const seen: [string, boolean][] = [];
  const store = await openUp(redis.url, {
    onCommand(name, seconds, ok) {
      assert.ok(seconds >= 0 && seconds < 5);
      seen.push([name, ok]);
    },
  });
  await store.set("k", "v");
  await store.run(add, ["n"], [1]);
  await assert.rejects(store.run(add, ["k"], [1]));
  assert.deepEqual(seen, [
    ["set", true],
    ["evalsha", false],
    ["eval", true],
    ["evalsha", false],
  ]);
});

async function impostor(onSocket: (socket: Socket) => void): Promise<{ url: string; server: Server }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onSocket(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return { url: `redis://127.0.0.1:${address.port}`, server };
}

const impostors: Record<string, [(socket: Socket) => void, RegExp]> = {
  "answers HTTP": [
    (socket) => socket.on("data", () => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n")),
    /an answer that is not RESP|connection lost/u,
  ],
  "answers noise": [(socket) => socket.on("data", () => socket.write(Buffer.alloc(64, 0xff))), /not RESP/u],
  "hangs up": [(socket) => socket.end(), /connection lost/u],
  "never answers": [() => {}, /no answer in time/u],
  drips: [
    (socket) => {
      const drip = setInterval(() => socket.write("+"), 500);
      socket.on("close", () => clearInterval(drip));
    },
    /no answer in time/u,
  ],
  "sends half an answer": [
    (socket) => socket.on("data", () => socket.write("$5\r\nab")),
    /no answer in time/u,
  ],
};
for (const [name, [behave, reason]] of Object.entries(impostors)) {
  test(`a server that ${name} leaves the store down, quick to say so, and still trying`, async () => {
    let connections = 0;
    const { url } = await impostor((socket) => {
      connections += 1;
      behave(socket);
    });
    const states: ConnectionStateChange[] = [];
    const store = open(url, { onState: (state) => states.push(state) });
    await assert.rejects(store.get("k"), unavailable(/out of reach/u));
    await eventually("it tries again", () => connections >= 2 && states.length > 0, 10_000);
    assert.equal(store.up, false);
    assert.equal(states.length, 1);
    assert.match(states[0]?.reason ?? "", reason);
  });
}

test("answers of the wrong type are refused, call by call", async () => {
  const { url } = await impostor((socket) => {
    socket.on("data", (data) => {
      for (const _ of data.toString("latin1").matchAll(/\*\d+\r\n/gu)) socket.write(":1\r\n");
    });
  });
  const store = await openUp(url);
  await assert.rejects(store.get("k"), unavailable(/^get: an answer of another type$/u));
  await assert.rejects(store.getBytes("k"), unavailable(/^get: an answer of another type$/u));
  await assert.rejects(store.scan("k", 10), unavailable(/^scan: an answer of another type$/u));
  assert.equal(await store.set("k", "v"), false);
});

const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;

test("closing ends what is in flight and leaves neither connection nor timer", async () => {
  const redis = await server();
  const states: ConnectionStateChange[] = [];
  const store = await openUp(redis.url, { onState: (state) => states.push(state) });
  store.watch("policy", () => {});
  // While it is being proven it has timers of its own.
  await eventually("the watch is proven", () => states.some(({ of, up }) => of === "watches" && up));
  const named = async (): Promise<number> =>
    String(await redis.cli.client("LIST")).split("name=store-test").length - 1;
  await eventually("both connections are there", async () => (await named()) === 2);
  const before = timers();
  redis.freeze();
  const flying = store.get("k", 60_000);
  assert.equal(timers(), before + 2, "the call's limit, and the socket's");
  store.close();
  await assert.rejects(flying, StoreUnavailable);
  await assert.rejects(store.get("k"), unavailable(/out of reach/u));
  assert.equal(await store.whenUp(60_000), false);
  redis.thaw();
  await eventually("no connection is left", async () => (await named()) === 0);
  await eventually("no timer is left", () => timers() <= before);
});

test("a thousand calls leave no timer behind, answered or not", async () => {
  const redis = await server();
  const store = await openUp(redis.url);
  const before = timers();
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => store.get(`k${i}`, 5_000)));
  // One that was there before may be over meanwhile.
  assert.ok(timers() <= before, `${timers()} timers, ${before} before`);
  redis.freeze();
  await Promise.allSettled(Array.from({ length: 1_000 }, (_, i) => store.get(`k${i}`, 20)));
  await eventually("only the socket's time limit is left", () => timers() <= before + 2);
});
