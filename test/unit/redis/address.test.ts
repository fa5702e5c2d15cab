// REDIS_URL: every accepted form, every refused mistake, and no secret in the error messages.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseRedisAddress, RedisAddressError } from "../../../src/redis/address.ts";

const plain = {
  kind: "standalone",
  nodes: [{ host: "127.0.0.1", port: 6379 }],
  tls: false,
  username: undefined,
  password: undefined,
  db: 0,
  masterName: undefined,
  sentinelUsername: undefined,
  sentinelPassword: undefined,
};

const good: Record<string, object> = {
  "redis://127.0.0.1": plain,
  "redis://127.0.0.1/": plain,
  "redis://127.0.0.1:6380/12": { ...plain, nodes: [{ host: "127.0.0.1", port: 6380 }], db: 12 },
  "rediss://redis.example:6380": { ...plain, tls: true, nodes: [{ host: "redis.example", port: 6380 }] },
  "redis://[::1]:7000": { ...plain, nodes: [{ host: "::1", port: 7000 }] },
  "redis://:p%40ss@127.0.0.1": { ...plain, password: "p@ss" },
  "redis://side:c:a%2Fr@127.0.0.1": { ...plain, username: "side", password: "c:a/r" },
  "redis://a:1,b": {
    ...plain,
    kind: "cluster",
    nodes: [
      { host: "a", port: 1 },
      { host: "b", port: 6379 },
    ],
  },
  "rediss://u:p@a,rediss://u:p@b": {
    ...plain,
    kind: "cluster",
    tls: true,
    username: "u",
    password: "p",
    nodes: [
      { host: "a", port: 6379 },
      { host: "b", port: 6379 },
    ],
  },
  "redis+cluster://only:7000": { ...plain, kind: "cluster", nodes: [{ host: "only", port: 7000 }] },
  "redis+sentinel://u:p@a,b:5000/main/3": {
    ...plain,
    kind: "sentinel",
    username: "u",
    password: "p",
    nodes: [
      { host: "a", port: 26379 },
      { host: "b", port: 5000 },
    ],
    masterName: "main",
    db: 3,
  },
  "rediss+sentinel://a/main?sentinelPassword=s%26&sentinelUsername=w": {
    ...plain,
    kind: "sentinel",
    tls: true,
    nodes: [{ host: "a", port: 26379 }],
    masterName: "main",
    sentinelUsername: "w",
    sentinelPassword: "s&",
  },
};
for (const [url, expected] of Object.entries(good)) {
  test(`${url} is read`, () => assert.deepEqual(parseRedisAddress(url), expected));
}

const bad: Record<string, RegExp> = {
  "": /must begin with/u,
  "http://a": /must begin with/u,
  "REDIS://a": /must begin with/u,
  "127.0.0.1:6379": /must begin with .*redis\+cluster:/u,
  "redis://": /node 1 is not host/u,
  "redis://a,": /node 2 is not host/u,
  "redis://a,,b": /node 2 is not host/u,
  "redis://a:0": /port of node 1/u,
  "redis://a:65536": /port of node 1/u,
  "redis://a:6379x": /node 1 is not host/u,
  "redis://::1": /node 1 is not host/u,
  "redis://a b": /white space/u,
  "redis://a\n": /white space/u,
  "redis://a#x": /white space and #/u,
  "redis://a/x": /database is not a number/u,
  "redis://a/-1": /database is not a number/u,
  "redis://a/1/2": /database is not a number/u,
  "redis://a,b/1": /Cluster has database 0 only/u,
  "redis://a?db=1": /has a query/u,
  "redis://user@a": /without a password/u,
  "redis://user:@a": /without a password/u,
  "redis://:p@ss@a": /an @ in the user or password/u,
  "redis://:pa/ss@a": /a \/ in the user or password/u,
  "redis://:pa%zz@a": /no percent-encoding/u,
  "redis://u:p@a,u:q@b": /different users or passwords/u,
  "redis+sentinel://a": /names no master/u,
  "redis+sentinel://a/": /names no master/u,
  "redis+sentinel://a/ma%20in": /master's name/u,
  "redis+sentinel://a/main?sentinelPassword=": /has a query/u,
  "redis+sentinel://a/main?sentinelPassword=a&sentinelPassword=b": /twice/u,
  "redis+sentinel://a/main?password=a": /has a query/u,
  "redis+sentinel://a/main?a=b?c=d": /second \?/u,
  "redis+unix://a": /must begin with/u,
};
for (const [url, problem] of Object.entries(bad)) {
  test(`${JSON.stringify(url)} is refused`, () => {
    assert.throws(
      () => parseRedisAddress(url),
      (error) => error instanceof RedisAddressError && problem.test(error.message),
    );
  });
}

test("no text makes it throw anything else, and a refusal repeats no piece of a password", () => {
  const secret = fc.string({
    minLength: 6,
    maxLength: 12,
    unit: fc.constantFrom(...Array.from("Zq9X@:/,?#%[] &=")),
  });
  fc.assert(
    fc.property(secret, fc.constantFrom("redis", "rediss", "redis+sentinel"), (password, scheme) => {
      try {
        parseRedisAddress(`${scheme}://side:${password}@redis.example:6379,other:1/0`);
      } catch (error) {
        assert.ok(error instanceof RedisAddressError);
        for (const piece of password.split(/[^A-Za-z0-9]+/u)) {
          if (piece.length > 1) assert.ok(!error.message.includes(piece), error.message);
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

test("a password survives percent-encoding whatever it holds", () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1, unit: "binary" }),
      fc.string({ minLength: 1 }),
      (password, username) => {
        const url = `redis://${encodeURIComponent(username)}:${encodeURIComponent(password)}@h:1`;
        const address = parseRedisAddress(url);
        assert.deepEqual([address.username, address.password], [username, password]);
      },
    ),
  );
});
