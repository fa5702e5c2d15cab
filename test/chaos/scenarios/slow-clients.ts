// One client with many slow connections, and its effect on all others.
import assert from "node:assert/strict";
import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { connectRaw } from "../../support/raw-client.ts";
import type { RawPeer } from "../../support/raw-peer.ts";
import { requestText } from "../../support/raw-http.ts";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Scenario } from "../scenario.ts";

const piece = Buffer.alloc(64 * 1024);

/** Reads a body to its end; sends 50 MB for `/large`. */
const service: http.RequestListener = (request, response) => {
  request.resume().once("end", () => {
    if (request.url !== "/large") {
      response.end("ok");
      return;
    }
    let left = 800;
    const send = (): void => {
      while (left > 0 && !response.destroyed) {
        left -= 1;
        if (!response.write(piece)) return;
      }
      response.end();
    };
    response.on("drain", send);
    send();
  });
};

/**
 * Sends another client's requests, ten a second. Rejects if one is not answered with 200.
 * @returns the slowest one, in ms
 */
async function othersFor(ms: number, port: number): Promise<number> {
  const agent = new http.Agent({ keepAlive: true });
  let slowest = 0;
  const ask = (method: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const options = { port, host: "127.0.0.1", localAddress: "127.0.0.2", method, path: "/", agent };
      const request = http.request(options, (answer) => {
        answer.resume().once("end", () => resolve(answer.statusCode ?? 0));
      });
      request.once("error", reject).end(method === "POST" ? "hello" : undefined);
    });
  try {
    const endMono = performance.now() + ms;
    for (let count = 0; performance.now() < endMono; count += 1) {
      const askedMono = performance.now();
      assert.equal(await ask(count % 2 === 0 ? "GET" : "POST"), 200, `request ${count} of somebody else`);
      slowest = Math.max(slowest, performance.now() - askedMono);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return slowest;
  } finally {
    agent.destroy();
  }
}

type Behaviour = (client: RawPeer) => void;

async function besides(
  scene: Scene,
  many: Behaviour,
  env: Record<string, string> = {},
): Promise<{ sidecar: TestSidecar; clients: RawPeer[] }> {
  const sidecar = await scene.sidecar({ policy: { plugins: ["logging"] }, upstream: service, env });
  const clients = await Promise.all(Array.from({ length: 150 }, () => connectRaw(sidecar.port)));
  scene.after(() => clients.forEach((client) => client.socket.destroy()));
  clients.forEach(many);
  return { sidecar, clients };
}

function dribbling(scene: Scene, head: string): Behaviour {
  return (client) => {
    client.send(head);
    const timer = setInterval(() => client.send("a"), 1_000);
    client.socket.once("close", () => clearInterval(timer));
    client.socket.once("end", () => client.socket.destroy());
    scene.after(() => clearInterval(timer));
  };
}

async function heldFor(ms: number, scene: Scene, many: Behaviour): Promise<string> {
  const { sidecar, clients } = await besides(scene, many);
  const slowest = await othersFor(ms, sidecar.port);
  const left = clients.filter(({ socket }) => !socket.destroyed && !socket.readableEnded).length;
  assert.ok(slowest < 1_000, `somebody else waited ${Math.round(slowest)} ms`);
  return `slowest of the others ${Math.round(slowest)} ms; ${left} of 150 slow ones left after ${ms} ms`;
}

/** Reads at a steady rate, also from its own kernel: bytes that it has not read stay with the sender. */
function readAt(client: RawPeer, bytesPerSecond: number): () => number {
  client.socket.pause().removeAllListeners("data");
  let taken = 0;
  const beganMono = performance.now();
  client.socket.on("data", (bytes: Buffer) => {
    taken += bytes.length;
    client.socket.pause();
  });
  const timer = setInterval(() => {
    if (taken <= ((performance.now() - beganMono) / 1_000) * bytesPerSecond) client.socket.resume();
  }, 20);
  client.socket.once("close", () => clearInterval(timer));
  return () => taken;
}

async function steadyReaders(scene: Scene): Promise<string> {
  const sidecar = await scene.sidecar({ policy: { plugins: ["logging"] }, upstream: service });
  const rates = [5_000, 20_000, 50_000, 400_000];
  const readers = await Promise.all(
    rates.map(async (rate) => {
      const client = await connectRaw(sidecar.port);
      scene.after(() => client.socket.destroy());
      const taken = readAt(client, rate);
      client.send(requestText("GET", "/large"));
      return { client, taken };
    }),
  );
  await sleep(45_000);
  const cut = rates.filter((_, i) => {
    const socket = readers[i]?.client.socket;
    return socket === undefined || socket.destroyed || socket.readableEnded;
  });
  assert.deepEqual(cut, [], "cut off, bytes a second");
  const lines = sidecar.lines.filter(({ path }) => path === "/large");
  assert.deepEqual(lines, []);
  return `all still read after 45 s: ${readers.map(({ taken }) => `${Math.round(taken() / 1_000)} kB`).join(", ")}`;
}

export const scenarios: readonly Scenario[] = [
  {
    group: "clients",
    fault: "150 connections of one address announce 100,000 bytes and send none",
    promised: "everybody else is answered at once",
    run: (scene) =>
      heldFor(3_000, scene, (client) => client.send(requestText("POST", "/", ["Content-Length: 100000"]))),
  },
  {
    group: "clients",
    fault: "150 connections of one address send one byte a second of a sized body",
    promised: "everybody else is answered at once; the slow ones are ended within 20 s",
    run: async (scene) => {
      const seen = await heldFor(
        21_000,
        scene,
        dribbling(scene, requestText("POST", "/", ["Content-Length: 100000"])),
      );
      assert.match(seen, / 0 of 150/);
      return seen;
    },
  },
  {
    group: "clients",
    fault: "150 connections of one address send a chunk of one byte and no more",
    promised: "everybody else is answered at once",
    run: (scene) =>
      heldFor(3_000, scene, (client) =>
        client.send(requestText("POST", "/", ["Transfer-Encoding: chunked"], "1\r\na\r\n")),
      ),
  },
  {
    group: "clients",
    fault: "150 connections of one address ask for 50 MB and read next to nothing",
    promised:
      "everybody else is answered at once; the slow ones are ended, within 30 s where the least rate is 20 kB/s",
    run: async (scene) => {
      const readNothing = (client: RawPeer): void => {
        client.socket.pause();
        client.send(requestText("GET", "/large"));
        const timer = setInterval(() => client.socket.read(10), 1_000);
        scene.after(() => clearInterval(timer));
      };
      const env = { OUTRIGGER_CLIENT_STALL_MS: "5000", OUTRIGGER_MIN_BYTES_PER_SECOND: "20000" };
      const { sidecar, clients } = await besides(scene, readNothing, env);
      // Waits until the kernel's buffers are full with 150 answers, all of which this one process sends and reads.
      await sleep(4_000);
      const slowest = await othersFor(18_000, sidecar.port);
      assert.ok(slowest < 1_000, `somebody else waited ${Math.round(slowest)} ms`);
      const ended = sidecar.lines.filter((line) => line["path"] === "/large").length;
      assert.equal(ended, clients.length, `${ended} of 150 slow ones were ended`);
      return `slowest of the others ${Math.round(slowest)} ms; ${ended} of 150 slow ones ended`;
    },
  },
  {
    group: "clients",
    fault: "clients read an answer of 50 MB at 5, 20, 50 and 400 kB/s for 45 s",
    promised: "nobody is cut off who takes the least rate, however large the buffers of the kernel",
    run: steadyReaders,
  },
];
