// The limits that a connection enforces itself: on time, and on waiting data.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, type Socket } from "node:net";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { ServerStream, StreamHandler } from "../../../../src/exchange/server-stream.ts";
import type { Http1Options } from "../../../../src/server/http1/server.ts";
import { createNetServer } from "../../../../src/server/http1-net/server.ts";
import { eventually } from "../../../support/redis.ts";

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
const untold: StreamHandler = {
  onBlocked: () => {},
  onWritable: () => {},
  onHalfClosed: () => {},
  onMalformed: () => false,
  onClose: () => {},
};

class Scene implements AsyncDisposable {
  readonly server: ReturnType<typeof createNetServer>;
  readonly streams: ServerStream[] = [];
  readonly accepted: Socket[] = [];
  readonly errors: (string | undefined)[] = [];
  crowded = 0;
  /** Runs at each request. */
  asked: () => void = () => {};
  readonly #clients: Socket[] = [];

  private constructor(limits: Partial<Http1Options>, answers: boolean) {
    this.server = createNetServer(
      {
        tls: undefined,
        maxHeaderBytes: 16_384,
        headerTimeoutMs: 10_000,
        keepAliveMs: 10_000,
        maxConnections: 100,
        clientShare: 100,
        ...limits,
      },
      {
        onConnection: (socket, serve) => {
          this.accepted.push(socket);
          serve(socket);
        },
        onRequest: (stream) => {
          this.streams.push(stream);
          stream.open(untold);
          this.asked();
          if (answers) answer(stream);
        },
        onConnect: (_target, socket) => socket.destroy(),
        onParserError: ({ code }, socket) => {
          this.errors.push(code);
          socket.destroy();
        },
        onCrowding: (socket) => {
          this.crowded += 1;
          socket.destroy();
        },
        onDrop: () => {},
      },
    );
  }

  static async start(limits: Partial<Http1Options>, answers = true): Promise<Scene> {
    const scene = new Scene(limits, answers);
    scene.server.listen(0, "127.0.0.1");
    await once(scene.server, "listening");
    return scene;
  }

  async connect(): Promise<Socket> {
    const { port } = this.server.address() as AddressInfo;
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    socket.on("error", () => {}).resume();
    this.#clients.push(socket);
    await once(socket, "connect");
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy();
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, "close");
  }
}

function answer(stream: ServerStream): void {
  stream.respond(200, undefined, ["Content-Length", "0"]);
  stream.end([]);
}

describe("a connection of our own listener", () => {
  for (const [what, before] of [
    ["first", ""],
    ["second", get],
  ] as const) {
    test(`ends when its ${what} head does not come in time, however busily it is sent`, async () => {
      await using scene = await Scene.start({ headerTimeoutMs: 150 });
      const client = await scene.connect();
      client.write(`${before}GET / HTTP/1.1\r\n`);
      const sending = setInterval(() => client.write("X-A: b\r\n"), 20);
      await once(client, "close");
      clearInterval(sending);
      assert.deepEqual(scene.errors, ["ERR_HTTP_REQUEST_TIMEOUT"]);
    });
  }

  test("ends without a word when no further request comes, empty lines or not", async () => {
    await using scene = await Scene.start({ keepAliveMs: 1 });
    const client = await scene.connect();
    const beganMono = performance.now();
    client.write(get);
    const sending = setInterval(() => client.write("\r\n"), 50);
    await once(client, "close");
    clearInterval(sending);
    const tookMs = performance.now() - beganMono;
    assert.ok(tookMs >= 1_000, `${tookMs} ms`);
    assert.deepEqual(scene.errors, []);
  });

  test("is idle between requests alone, and ends then when it is told to", async () => {
    await using scene = await Scene.start({}, false);
    const [fresh, begun, asking, idle] = [
      await scene.connect(),
      await scene.connect(),
      await scene.connect(),
      await scene.connect(),
    ];
    idle.write(get);
    await eventually("its request", () => scene.streams.length === 1);
    answer(scene.streams[0] as ServerStream);
    begun.write("GET");
    asking.write(get);
    await eventually("the other", () => scene.streams.length === 2);
    await eventually("the answer", () => scene.streams[0]?.finished === true);
    scene.server.closeIdleConnections();
    await once(idle, "close");
    assert.deepEqual([fresh.destroyed, begun.destroyed, asking.destroyed], [false, false, false]);
  });

  test("reads on behind a request in flight no further than one read", async () => {
    await using scene = await Scene.start({}, false);
    const client = await scene.connect();
    client.write(get.repeat(100_000));
    await eventually("the request", () => scene.streams.length === 1);
    const [socket] = scene.accepted;
    let before = -1;
    await eventually("the pause", () => before === (before = socket?.bytesRead ?? 0) && before > 0);
    assert.ok(before <= 4 * 65_536, `${before} bytes`);
    assert.equal(scene.streams.length, 1);
    assert.equal(scene.crowded, 0);
  });

  test("keeps of a large read no more than what waits", async () => {
    await using scene = await Scene.start({}, false);
    const count = 40;
    const body = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n${"b".repeat(60_000)}`;
    const clients = await Promise.all(Array.from({ length: count }, () => scene.connect()));
    const before = process.memoryUsage().arrayBuffers;
    const ignored = { onData: () => {}, onEnd: () => {}, onBroken: () => {}, onStall: () => {} };
    for (const client of clients) client.write(body + get.repeat(4));
    await eventually("the requests", () => scene.streams.length === count);
    for (const stream of scene.streams) stream.read(ignored);
    await eventually("the bodies", () => scene.streams.every(({ complete }) => complete));
    await eventually("the pause", () => scene.accepted.every((socket) => socket.isPaused()));
    await eventually(
      "what is not needed is gone",
      () => {
        collect();
        return process.memoryUsage().arrayBuffers - before < count * 16_384;
      },
      5_000,
    );
  });

  test("tells that its client has ended behind its request, empty lines or not", async () => {
    await using scene = await Scene.start({}, false);
    const client = await scene.connect();
    client.write(get);
    await eventually("the request", () => scene.streams.length === 1);
    let ended = 0;
    (scene.streams[0] as ServerStream).open({ ...untold, onHalfClosed: () => (ended += 1) });
    client.end("\r\n\r\n");
    await eventually("its end", () => ended === 1, 5_000);
  });

  test("leaves others their turn behind every few requests of one read", async () => {
    await using scene = await Scene.start({});
    const client = await scene.connect();
    client.write(get.repeat(1_000));
    let [most, before] = [0, 0];
    while (before < 1_000) {
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, scene.streams.length - before);
      before = scene.streams.length;
    }
    assert.ok(most <= 16, `${most} in one turn`);
  });

  test("ends where a fault loses what is left of a read", async (t) => {
    await using scene = await Scene.start({});
    const faults: unknown[] = [];
    process.setUncaughtExceptionCaptureCallback((error) => faults.push(error));
    t.after(() => process.setUncaughtExceptionCaptureCallback(null));
    const fault = new Error("somebody's fault");
    // Behind the eighth, the next is read in a turn of its own.
    scene.asked = () => {
      if (scene.streams.length === 9) throw fault;
    };
    const client = await scene.connect();
    const closed = once(client, "close");
    client.write(`${get.repeat(9)}GET /secret HTTP/1.1\r\nHost: a\r\nX-A: `);
    await eventually("the fault", () => faults.length > 0);
    client.write(`b\r\n\r\n${get}`);
    await closed;
    assert.deepEqual(faults, [fault]);
    assert.equal(scene.streams.length, 9);
  });

  test("goes on with the next request where its client takes the end of an answer late", async () => {
    await using scene = await Scene.start({}, false);
    const client = await scene.connect();
    client.pause();
    client.write(get);
    await eventually("the request", () => scene.streams.length === 1);
    const [stream] = scene.streams as [ServerStream];
    const half = Buffer.alloc(8_000_000);
    stream.respond(200, undefined, ["Content-Length", String(2 * half.length)]);
    stream.write(half);
    stream.write(half);
    // The head has left by then, and the end of a body with a length is nothing that is written.
    stream.end([]);
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(stream.waitingBytes > 0);
    assert.equal(stream.finished, false);
    client.resume();
    client.write(get);
    await eventually("the next", () => scene.streams.length === 2);
    assert.equal(stream.finished, true);
  });

  test("has its last answer whole, however much was sent behind its request", async () => {
    await using scene = await Scene.start({}, false);
    for (let round = 1; round <= 12; round += 1) {
      const client = await scene.connect();
      let received = 0;
      client.on("data", (bytes: Buffer) => (received += bytes.length));
      client.write(`GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n${get.repeat(20_000)}`);
      await eventually("it is asked", () => scene.streams.length === round);
      const stream = scene.streams.at(-1) as ServerStream;
      stream.respond(200, undefined, ["Content-Length", "200000"]);
      stream.write(Buffer.alloc(200_000));
      stream.end([]);
      await once(client, "end");
      assert.ok(received > 200_000);
      client.destroy();
    }
  });

  test("is broken off where too many bytes of its client wait, and gives back what it took", async () => {
    // A hundredth of 40 MiB.
    await using scene = await Scene.start({ clientShare: 1 }, false);
    const crowd = await Promise.all(Array.from({ length: 20 }, () => scene.connect()));
    for (const client of crowd) client.write(get.repeat(5_000));
    await eventually("the crowd", () => scene.crowded > 0);
    scene.server.closeAllConnections();
    await eventually("their end", () => scene.accepted.every(({ destroyed }) => destroyed));
    const { crowded } = scene;
    const client = await scene.connect();
    client.write(get.repeat(5_000));
    const seen = scene.streams.length;
    await eventually("the request", () => scene.streams.length > seen || client.destroyed);
    assert.equal(scene.crowded, crowded);
  });
});
