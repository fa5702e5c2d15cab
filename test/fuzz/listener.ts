// Sends the same bytes, cut differently, to both HTTP/1.1 servers, node:http's and the project's own: both have to read
// the same requests or give the same refusal, except for the differences in `intended`.
// node test/fuzz/listener.ts [--minutes 60] [--seed 1] [--inputs 1000]
import { once } from "node:events";
import { type AddressInfo, connect, type Server, type Socket } from "node:net";
import { parseArgs } from "node:util";
import { ClientLimits } from "../../src/client/client-limits.ts";
import type { BodyHandler, ServerStream, StreamHandler } from "../../src/exchange/server-stream.ts";
import { parseRequestHead, type RequestHead } from "../../src/http1/request-head.ts";
import { allowedTrailers } from "../../src/http1/trailers.ts";
import type { GatewayError, Logger } from "../../src/plugin-api/contract.ts";
import { createHttp1Server } from "../../src/server/http1/server.ts";
import { createNetServer } from "../../src/server/http1-net/server.ts";
import { Refusals } from "../../src/server/refuse.ts";
import { createMetrics } from "../../src/telemetry/metrics.ts";
import { type Input, Inputs } from "./listener-inputs.ts";
import { seeded } from "./seeded.ts";

const limits = {
  tls: undefined,
  maxHeaderBytes: 2_048,
  headerTimeoutMs: 10_000,
  keepAliveMs: 10_000,
  maxConnections: 1_000,
  clientShare: 100,
};
const clientLimits = {
  maxBodyBytes: 0,
  clientStallMs: 10_000,
  minBytesPerSecond: 0,
  bufferBytes: 1_000_000,
  clientShare: 100,
};
const concurrency = 16;
const stillTurns = 6;
const hangMs = 3_000;
const hung = "the connection does not end";
const owned = (): boolean => false;
const rules = { cookies: undefined, keepsUnderscores: true };

/** The outcome of one connection's bytes. */
interface Trace {
  readonly requests: string[];
  /** Bytes that the client received. */
  answers: string;
  /** A counter that changes with every event. */
  moves: number;
  /** Status and code of the refusal behind the requests. */
  refusal: string | undefined;
  reason: string;
  /**
   * Whether a request behind the first asks for an upgrade: it depends on the cut whether it counts as one and closes
   * the connection.
   */
  upgradesBehind: boolean;
}

/** One of the servers, with the sidecar's handling of refused requests behind it. */
class Target {
  readonly #server: Server;
  readonly #traces = new Map<number, Trace>();
  #said: Trace | undefined = undefined;

  constructor(create: typeof createHttp1Server | typeof createNetServer) {
    const note = (line: Record<string, unknown>): void => {
      if (this.#said === undefined) return;
      this.#said.refusal = `${String(line["status"])} ${String(line["error"])}`;
      this.#said.reason = String(line["refusedBecause"]);
    };
    const logger = { warn: note, error: note, info: note, debug: note } as unknown as Logger;
    const refusals = new Refusals(
      new ClientLimits(clientLimits),
      logger,
      createMetrics({ service: "fuzz" }),
      () => undefined,
    );
    const about = (socket: Socket | null, act: () => void): void => {
      this.#said = this.#traces.get(socket?.remotePort ?? 0);
      act();
      this.#said = undefined;
    };
    this.#server = create(limits, {
      onConnection: (socket, serve) => serve(socket),
      onRequest: (stream) => {
        const trace = this.#traces.get(stream.socket?.remotePort ?? 0);
        let head: RequestHead;
        try {
          head = parseRequestHead(stream, owned, rules);
        } catch (error) {
          about(stream.socket, () => refusals.request(stream, error as GatewayError));
          return;
        }
        if (trace !== undefined) new Answer(stream, trace).begin(head.body !== "none");
      },
      onConnect: (target, socket, carried) => about(socket, () => refusals.connect(target, socket, carried)),
      onParserError: (error, socket, carried) => about(socket, () => refusals.broken(error, socket, carried)),
      onCrowding: (socket) => socket.destroy(),
      onDrop: () => {},
    });
  }

  async listen(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  /** Sends the parts, then ends its side: whatever the parts are, the connection has to end, too. */
  async play(parts: readonly Buffer[]): Promise<Trace> {
    const { port } = this.#server.address() as AddressInfo;
    const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    const trace: Trace = {
      requests: [],
      answers: "",
      moves: 0,
      refusal: undefined,
      reason: "",
      upgradesBehind: false,
    };
    socket.on("error", () => {}).on("data", (bytes: Buffer) => (trace.answers += bytes.toString("latin1")));
    await once(socket, "connect");
    const local = socket.localPort ?? 0;
    this.#traces.set(local, trace);
    for (const part of parts) {
      socket.write(part);
      if (parts.length > 1) await new Promise((resolve) => setImmediate(resolve));
    }
    // Waits first: a client that has ended its side gets fewer answers.
    for (let last = -1, still = 0; still < stillTurns; still += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      if (trace.moves !== last) still = 0;
      last = trace.moves;
    }
    socket.end();
    // A refused client is still read from for seconds (see src/client/lingering.ts).
    for (let turns = 0; turns < stillTurns && trace.refusal !== undefined; turns += 1)
      await new Promise((resolve) => setImmediate(resolve));
    if (trace.refusal !== undefined) socket.destroy();
    const giveUp = (): void => {
      // A client that is refused after the turns above is still read from as well.
      if (!socket.closed && trace.refusal === undefined) trace.reason = hung;
      socket.destroy();
    };
    // If this process itself was blocked, the end of the connection is read first.
    const late = setTimeout(() => setImmediate(setImmediate, giveUp), hangMs);
    // Does not use `once`, which rejects: either server may reset a connection that it has refused.
    if (!socket.closed) await new Promise((resolve) => socket.once("close", resolve));
    clearTimeout(late);
    // After a reset, another connection may have the same port by now.
    if (this.#traces.get(local) === trace) this.#traces.delete(local);
    return trace;
  }

  close(): void {
    this.#server.close();
  }
}

interface Way {
  readonly status: number;
  readonly fields: readonly string[];
  readonly parts: readonly string[];
  readonly trailers?: readonly string[];
  readonly interim?: number;
}

const large = "l".repeat(20_000);
const ways: readonly Way[] = [
  { status: 200, fields: ["Content-Length", "0"], parts: [] },
  { status: 200, fields: ["X-A", "\xe4", "Content-Length", "5"], parts: ["hello"] },
  { status: 200, fields: ["Date", "x"], parts: ["hello"] },
  { status: 201, fields: [], parts: ["a", large], trailers: ["X-T", "1", "X-U", "\xe4"] },
  { status: 200, fields: ["Content-Length", String(large.length + 1)], parts: [large, "b"], interim: 103 },
  { status: 204, fields: ["X-A", "1"], parts: [] },
  { status: 304, fields: ["Content-Length", "9"], parts: [] },
  { status: 404, fields: ["Connection", "close"], parts: ["gone"], interim: 102 },
  { status: 599, fields: [], parts: [], interim: 100 },
];

/** Reads the body, then answers. */
class Answer implements StreamHandler, BodyHandler {
  readonly #stream: ServerStream;
  readonly #trace: Trace;
  readonly #place: number;
  #body = "";

  constructor(stream: ServerStream, trace: Trace) {
    this.#stream = stream;
    this.#trace = trace;
    this.#place = trace.requests.length;
  }

  begin(hasBody: boolean): void {
    const stream = this.#stream;
    this.#tell("broken");
    stream.open(this);
    if (!hasBody) {
      this.onEnd([]);
      return;
    }
    stream.read(this);
    stream.resume();
  }

  #tell(end: string): void {
    const { method, target, httpVersion, fields, upgrades } = this.#stream;
    // Behind a request in flight, an upgrade does not count as one; the cut decides whether one is.
    if (upgrades && this.#place > 0) this.#trace.upgradesBehind = true;
    const head = [method, target, httpVersion, ...fields, upgrades && this.#place === 0 ? "upgrades" : ""];
    this.#trace.moves += 1;
    this.#trace.requests[this.#place] = JSON.stringify([...head, this.#body, end]);
  }

  onData(chunk: Buffer): void {
    this.#body += chunk.toString("latin1");
  }

  onEnd(trailers: readonly string[]): void {
    this.#tell(`whole ${JSON.stringify(allowedTrailers(trailers))}`);
    this.#answer();
  }

  /** Answers in a way that depends only on the request. */
  #answer(): void {
    const stream = this.#stream;
    const way = (stream.target.length + stream.fields.length + this.#body.length) % ways.length;
    const { status, fields, parts, trailers = [], interim = 0 } = ways[way] as Way;
    if (interim > 0) stream.interim(interim, ["Link", "</a>; rel=preload"]);
    stream.respond(status, undefined, fields);
    if (stream.method !== "HEAD") for (const part of parts) stream.write(Buffer.from(part));
    const isSized = fields.includes("Content-Length");
    stream.end(stream.takesTrailers(isSized) && stream.method !== "HEAD" ? trailers : []);
  }

  onMalformed(error: GatewayError): boolean {
    this.#trace.refusal = `${error.kind.status} ${error.code}`;
    this.#trace.reason = error.detail;
    this.#stream.destroy();
    return true;
  }

  onBroken(): void {}
  onStall(): void {}
  onBlocked(): void {}
  onWritable(): void {}
  onHalfClosed(): void {}
  onClose(): void {
    this.#trace.moves += 1;
  }
}

/** Intended differences. Each entry says when it applies, and why. */
const intended: readonly {
  readonly why: string;
  matches(node: Trace, own: Trace, bytes: string): boolean;
}[] = [
  {
    why: "nothing is read behind a request that closes its connection; node:http breaks off its answer",
    matches: (node, own) =>
      node.reason.includes("Data after `Connection: close`") ||
      (own.refusal === undefined && /^Connection: close/im.test(own.answers)),
  },
  {
    why: "there is one space on either side of a target (RFC 9112 section 3); node:http takes several",
    matches: (_node, own, bytes) =>
      /in the target|HTTP version/.test(own.reason) && /[A-Z]  |  HTTP/.test(bytes),
  },
  {
    why: "Proxy-Connection says nothing of this connection (RFC 9112 appendix C.2.2); node:http heeds it",
    matches: (node, _own, bytes) =>
      node.refusal === undefined &&
      /^Connection: close/m.test(node.answers) &&
      /^Proxy-Connection: close/im.test(bytes),
  },
  {
    why: "the size of a chunk has 13 digits at most, which keeps it an exact number; node:http takes zeros before",
    matches: (_node, own) => own.reason.includes("chunk size too long"),
  },
  {
    why: "blanks behind a value are none of it (RFC 9110 section 5.5); node:http minds a tab behind chunked",
    matches: (node, _own, bytes) => node.reason.includes("Transfer-Encoding") && /chunked *\t/i.test(bytes),
  },
  {
    why: "of several faults in a head, node:http tells the first, our own whichever shows when it is read whole",
    matches: (node, own) => node.refusal !== undefined && own.refusal !== undefined,
  },
  {
    why: "node:http loses what one read brings behind the head of an upgrade that it does not take, faults, too",
    matches: (node, own, bytes) =>
      node.refusal === undefined &&
      node.requests.length <= own.requests.length &&
      /^Connection:.*upgrade/im.test(bytes),
  },
  {
    why: "a trailer that would frame the body is refused when it is whole, by node:http at its first byte",
    matches: (node, own) =>
      own.refusal === undefined &&
      node.reason.includes("Content-Length can't be present with Transfer-Encoding"),
  },
  {
    why: "RTSP and ICE are no HTTP; node:http takes their requests for some",
    matches: (_node, own, bytes) =>
      own.reason.includes("invalid HTTP version") && /(?:RTSP|ICE)\//.test(bytes),
  },
  {
    why: "chunk extensions are bounded and ignored, whatever their form (RFC 9112 section 7.1.1)",
    matches: (node, _own, bytes) =>
      (node.reason.includes("chunk extension") || node.reason.includes("in chunk size")) &&
      /[0-9a-f][ \t]*;| \r\n/i.test(bytes),
  },
];

/** @returns the unintended difference; undefined = none */
function differenceOf(node: Trace, own: Trace): string | undefined {
  if (own.reason !== node.reason && (own.reason === hung || node.reason === hung)) return "end";
  if (node.refusal !== own.refusal) return "refusal";
  const [short, long] =
    node.requests.length < own.requests.length
      ? [node.requests, own.requests]
      : [own.requests, node.requests];
  const upgradesBehind = node.upgradesBehind || own.upgradesBehind;
  // node:http refuses bytes behind a request in flight at once, and that request is lost with them.
  const mayLack = (node.refusal !== undefined && short === node.requests) || upgradesBehind;
  if (short.length !== long.length && !mayLack) return "number of requests";
  if (!short.every((request, i) => request === long[i])) return "a request";
  const isSure = node.refusal === undefined && short.length === long.length && !upgradesBehind;
  return isSure && undated(node.answers) !== undated(own.answers) ? "an answer" : undefined;
}

const undated = (text: string): string => text.replaceAll(/^Date: .*\r\n/gm, "");

function shown({ requests, refusal, reason }: Trace): string {
  const all = requests.map((each) => each.slice(0, 20) + each.slice(-25));
  return `${all.join(" ")} ${refusal ?? ""} ${reason}`;
}

export interface Found {
  readonly inputs: number;
  /** How often each intended difference was seen. */
  readonly intended: ReadonlyMap<string, number>;
  /** Unintended differences, for a human to examine. */
  readonly different: readonly string[];
}

/** @param until returns true when it is enough */
export async function fuzzListener(seed: number, until: (inputs: number) => boolean): Promise<Found> {
  const inputs = new Inputs(seeded(seed));
  const node = await new Target(createHttp1Server).listen();
  const own = await new Target(createNetServer).listen();
  const seen = new Map<string, number>();
  const different: string[] = [];
  let count = 0;
  const compare = async (input: Input): Promise<void> => {
    const text = input.bytes.toString("latin1");
    const [first, second, again] = await Promise.all([
      node.play(input.parts),
      own.play(input.parts),
      own.play(inputs.cut(input.bytes)),
    ]);
    const told = `${JSON.stringify(text)}\n  node ${shown(first)}\n  own  ${shown(second)}`;
    if (differenceOf(second, again) !== undefined)
      different.push(`cut otherwise, our own reads otherwise: ${told}\n  again ${shown(again)}`);
    const what = differenceOf(first, second);
    if (what === undefined) return;
    const known = intended.find((each) => each.matches(first, second, text));
    const answers =
      what === "an answer" ? [first, second].map((each) => `\n  got ${JSON.stringify(each.answers)}`) : [];
    if (known === undefined) different.push(`${what}: ${told}${answers.join("")}`);
    else seen.set(known.why, (seen.get(known.why) ?? 0) + 1);
  };
  const worker = async (): Promise<void> => {
    while (!until(count) && different.length < 20) {
      count += 1;
      await compare(inputs.next());
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  node.close();
  own.close();
  return { inputs: count, intended: seen, different };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { minutes: { type: "string" }, seed: { type: "string" }, inputs: { type: "string" } },
  });
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  const endMono = performance.now() + Number(values.minutes ?? 1) * 60_000;
  const most = Number(values.inputs ?? Infinity);
  const found = await fuzzListener(seed, (inputs) => inputs >= most || performance.now() >= endMono);
  console.log(`seed ${seed}: ${found.inputs} inputs`);
  for (const [why, times] of found.intended) console.log(`${times} times, as intended: ${why}`);
  for (const each of found.different) console.log(each);
  process.exitCode = found.different.length > 0 ? 1 : 0;
}
