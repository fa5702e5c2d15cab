// The sockets on which connections arrive.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { platform } from "node:os";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { ListeningSockets } from "../../../src/server/listening-sockets.ts";

const crowd = 1_000;
const most = platform() === "linux" ? Number(readFileSync("/proc/sys/net/core/somaxconn", "latin1")) : 0;

/** Connects as often, from a thread of its own, and counts in `connected`. */
const connecting = `
  const { workerData: { port, crowd, connected } } = require("node:worker_threads");
  const { connect } = require("node:net");
  const count = () => {
    if (Atomics.add(connected, 0, 1) + 1 === crowd) Atomics.notify(connected, 0);
  };
  for (let i = 0; i < crowd; i += 1) connect(port, "127.0.0.1", count).on("error", () => {});
`;

test(
  "a crowd that comes while the process does something else is connected",
  { skip: most < crowd },
  async () => {
    const server = createServer((socket) => socket.on("error", () => {}));
    const sockets = new ListeningSockets(server, {
      places: [{ host: "127.0.0.1", port: 0 }],
      mode: undefined,
      reusePort: false,
      shared: false,
      maxConnections: crowd,
      onDrop: () => {},
    });
    const { port } = (await sockets.open({ host: "127.0.0.1", port: 0 })) as AddressInfo;
    const connected = new Int32Array(new SharedArrayBuffer(4));
    const clients = new Worker(connecting, { eval: true, workerData: { port, crowd, connected } });
    try {
      const endMono = performance.now() + 10_000;
      // Nobody takes what comes meanwhile.
      for (let seen = 0; seen < crowd && performance.now() < endMono; seen = Atomics.load(connected, 0)) {
        Atomics.wait(connected, 0, seen, 100);
      }
      assert.equal(Atomics.load(connected, 0), crowd);
    } finally {
      await clients.terminate();
      sockets.close();
    }
  },
);
