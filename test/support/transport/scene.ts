// A transport under test with a scripted service. At the end of the test it checks that every connection is closed,
// nothing is counted any more, and no promise of the interface was broken.
import assert from "node:assert/strict";
import type { UpstreamRequest, UpstreamTarget, UpstreamTransport } from "../../../src/upstream/transport.ts";
import { type Reactions, RecordedExchange } from "../recorded-exchange.ts";
import { type Place, type RawServer, type Script, startRawServer } from "../raw-server.ts";

export interface TransportOptions {
  readonly maxConnections: number;
  readonly maxQueued: number;
  readonly idleTimeoutMs: number;
}

/** Creates the implementation under test. */
export type CreateTransport = (target: UpstreamTarget, options: TransportOptions) => UpstreamTransport;

const defaults: TransportOptions = { maxConnections: 8, maxQueued: 8, idleTimeoutMs: 4000 };

export class Scene implements AsyncDisposable {
  readonly server: RawServer;
  readonly transport: UpstreamTransport;
  readonly #exchanges: RecordedExchange[] = [];

  constructor(server: RawServer, transport: UpstreamTransport) {
    this.server = server;
    this.transport = transport;
  }

  /** Starts one exchange. Default: a GET of `/`. */
  ask(request: Partial<UpstreamRequest> = {}, reactions: Reactions = {}): RecordedExchange {
    const exchange = new RecordedExchange(this.transport, request, reactions);
    this.#exchanges.push(exchange);
    return exchange;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.transport.close();
    try {
      assert.deepEqual(
        this.#exchanges.flatMap((exchange) => exchange.broken),
        [],
      );
      assert.deepEqual(this.transport.counts(), { active: 0, idle: 0, queued: 0, upgraded: 0 });
      await Promise.all(this.server.peers.map((peer) => peer.ended));
    } finally {
      await this.server.close();
    }
  }
}

export function targetOf(
  server: RawServer,
  place: Place,
  tlsOptions?: UpstreamTarget["tlsOptions"],
): UpstreamTarget {
  return {
    tls: place.tls !== undefined,
    host: place.socketPath === undefined ? "127.0.0.1" : "localhost",
    port: server.port,
    socketPath: place.socketPath,
    name: "service",
    ...(tlsOptions === undefined ? {} : { tlsOptions }),
  };
}

export async function openScene(
  create: CreateTransport,
  script: Script,
  options: Partial<TransportOptions> = {},
  place: Place = {},
  tlsOptions?: UpstreamTarget["tlsOptions"],
): Promise<Scene> {
  const server = await startRawServer(script, place);
  return new Scene(server, create(targetOf(server, place, tlsOptions), { ...defaults, ...options }));
}

/** A script that answers every request (without a body) with this text. */
export function always(text: string): Script {
  return async (peer) => {
    for (;;) {
      await peer.head();
      peer.send(text);
    }
  };
}

/** A complete answer with a Content-Length. */
export function answer(body: string, fields = "", status = "200 OK"): string {
  return `HTTP/1.1 ${status}\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** Waits some turns of the event loop, so that data on its way over loopback can arrive. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
