// Program: generates load over raw sockets for what wrk cannot do (bodies, a fixed rate, WebSocket, new connections,
// idle ones). `node generator.ts <GeneratorOrder as JSON>` prints a LoadResult as JSON; an idle generator prints "open"
// and waits for the end of its input.
import net from "node:net";
import { type Answer, AnswerReader } from "./answer-reader.ts";
import { type GeneratorOrder, type LoadResult, numberOf, requestStart, requestTails } from "./requests.ts";

const { traffic, port, seconds, run } = JSON.parse(process.argv[2] ?? "") as GeneratorOrder;
const startText = requestStart(traffic, run);
const tails = requestTails(traffic);
const onlyRequest =
  numberOf(traffic, 0) === "" && tails.length === 1 ? Buffer.from(startText + tails[0]) : undefined;
const latenciesMs: number[] = [];
/** Latencies of the first second do not count: this process is still warming up. */
const countedFrom = performance.now() + 1_000;
let asked = 0;
let requests = 0;
let bytes = 0;
let failures = 0;
let failure = "";
let over = false;

function nextRequest(): Buffer | string {
  asked += 1;
  return onlyRequest ?? `${startText}${numberOf(traffic, asked)}${tails[asked % tails.length]}`;
}

function failed(reason: string): void {
  if (over) return;
  failures += 1;
  failure ||= reason;
  if (failures > 100) finish();
}

/** A connection with at most one request under way. */
class Client {
  readonly #socket: net.Socket;
  readonly #reader = new AnswerReader();
  #done: ((answer: Answer) => void) | undefined;

  constructor(opened: () => void) {
    this.#socket = net.connect({ port, host: "127.0.0.1", noDelay: true }, opened);
    this.#socket.on("data", (chunk: Buffer) => this.#read(chunk));
    this.#socket.on("error", (error) => failed(error.message));
    this.#socket.on("close", () => {
      if (this.#done !== undefined) failed("the connection closed before the answer was complete");
    });
  }

  ask(done: (answer: Answer) => void): void {
    this.#done = done;
    this.#socket.write(nextRequest());
  }

  close(): void {
    this.#done = undefined;
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    bytes += chunk.length;
    const answer = this.#reader.feed(chunk);
    if (answer === undefined) return;
    const done = this.#done;
    this.#done = undefined;
    if (answer.status >= 200 && answer.status < 300) requests += 1;
    else failed(`status ${answer.status}`);
    done?.(answer);
  }
}

function closedLoop(): void {
  const client = new Client(ask);
  function ask(): void {
    if (!over) client.ask(next);
  }
  function next({ closes }: Answer): void {
    if (traffic.newConnections === undefined && !closes) {
      ask();
      return;
    }
    client.close();
    if (!over) closedLoop();
  }
}

/** Sends by the clock only; if earlier requests are late, a request takes another connection. */
function openLoop(rate: number): void {
  const idle: Client[] = [];
  const began = performance.now();
  let sent = 0;
  const send = (client: Client): void => {
    const sentAt = performance.now();
    client.ask(({ closes }) => {
      if (sentAt > countedFrom) latenciesMs.push(performance.now() - sentAt);
      if (closes) client.close();
      else idle.push(client);
    });
  };
  const tick = (): void => {
    if (over) return;
    // The latency begins when the request is sent, not when it was due: this process's own lateness is not the
    // contender's.
    for (const due = ((performance.now() - began) * rate) / 1000; sent < due; sent += 1) {
      const client = idle.pop();
      if (client !== undefined) send(client);
      else {
        const fresh: Client = new Client(() => send(fresh));
      }
    }
    setTimeout(tick, 1);
  };
  tick();
}

function webSocketLoop(): void {
  const payloadBytes = 64;
  // RFC 6455 section 5.2: FIN + binary, masked with zeros; the echo comes back unmasked with a head of two bytes.
  const message = Buffer.alloc(6 + payloadBytes, "x").fill(0, 2, 6);
  message.writeUInt16BE(0x8280 + payloadBytes, 0);
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  const handshake = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
  socket.write(
    `GET /ws HTTP/1.1\r\nHost: api.example\r\n${handshake}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  );
  let head = "";
  let waitingFor = 0;
  socket.on("data", (chunk: Buffer) => {
    if (waitingFor === 0) {
      head += chunk.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      if (!head.startsWith("HTTP/1.1 101")) return failed(head.slice(0, 40));
    } else {
      bytes += chunk.length;
      waitingFor -= chunk.length;
      if (waitingFor > 0) return;
      requests += 1;
    }
    waitingFor = 2 + payloadBytes;
    socket.write(message);
  });
  socket.on("error", (error) => failed(error.message));
  socket.on("close", () => failed("the connection closed"));
}

/** Opens idle connections; each has sent one request, as a browser's has. */
function idleConnections(): void {
  let open = 0;
  const openOne = (): void => {
    const client = new Client(() =>
      client.ask(() => {
        open += 1;
        if (open === traffic.connections) process.stdout.write("open\n");
        else if (open + 31 < traffic.connections) openOne();
      }),
    );
  };
  for (let i = 0; i < Math.min(32, traffic.connections); i += 1) openOne();
  process.stdin.resume().once("end", finish);
}

function finish(): void {
  over = true;
  const sorted = latenciesMs.sort((a, b) => a - b);
  const quantile = (part: number): number | undefined => sorted[Math.ceil(sorted.length * part) - 1];
  const result: LoadResult = {
    requests,
    bytes,
    failures,
    failure,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

if (traffic.kind === "idle") idleConnections();
else {
  if (traffic.kind === "open") openLoop(traffic.rate ?? 1);
  else
    for (let i = 0; i < traffic.connections; i += 1) {
      if (traffic.kind === "closed") closedLoop();
      else webSocketLoop();
    }
  setTimeout(finish, seconds * 1000);
}
