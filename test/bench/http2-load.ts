// Generates load for http2.ts: requests with h2load, messages on streams with @grpc/grpc-js, idle connections with
// node:http2.
import { writeFileSync } from "node:fs";
import http2 from "node:http2";
import { join } from "node:path";
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { folder, pause, start } from "./processes.ts";

const plain = (bytes: Buffer): Buffer => bytes;

export type Kind = "http1" | "http2" | "unary";

/** 32 requests at a time: on 32 connections, or on four. */
const inFlight: Readonly<Record<Kind, readonly string[]>> = {
  http1: ["--h1", "-c", "32", "-m", "1"],
  http2: ["-c", "4", "-m", "8"],
  unary: ["-c", "4", "-m", "8"],
};

// A message of 100 bytes in gRPC framing: the flag "not compressed", its length, its bytes.
const message = join(folder, "message.bin");
writeFileSync(message, Buffer.concat([Buffer.from([0, 0, 0, 0, 100]), Buffer.alloc(100, "m")]));
const call = ["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers"];

/** Sends that many requests; rejects if one fails. */
export async function requests(
  program: string,
  { kind, port, count }: { readonly kind: Kind; readonly port: number; readonly count: number },
  cores: string | undefined,
): Promise<void> {
  const path = kind === "unary" ? "/bench.Echo/Unary" : "/items/7";
  const further = kind === "unary" ? call : [];
  const args = [
    "-n",
    String(count),
    "-t",
    "1",
    ...inFlight[kind],
    ...further,
    `http://127.0.0.1:${port}${path}`,
  ];
  const output = await start(program, args, { cores }).end;
  const succeeded = Number(/(\d+) succeeded/u.exec(output)?.[1]);
  if (succeeded !== count) throw new Error(`${kind} to port ${port}: ${output.slice(-1_500)}`);
}

const clientOf = (port: number): Client => new Client(`127.0.0.1:${port}`, credentials.createInsecure());

/** Makes one unary call with the real client: h2load sees only HTTP's 200. Rejects on any gRPC status but OK. */
export async function proveUnary(port: number): Promise<void> {
  const client = clientOf(port);
  await new Promise<void>((resolve, reject) =>
    client.makeUnaryRequest("/bench.Echo/Unary", plain, plain, Buffer.from("m"), (error) =>
      error === null ? resolve() : reject(error),
    ),
  );
  client.close();
}

/** Sends messages of 1 KB, which come back, on four streams with eight messages in flight each. */
export async function messages(port: number, count: number): Promise<void> {
  const client = clientOf(port);
  const [streams, ahead] = [4, 8];
  await Promise.all(Array.from({ length: streams }, () => chat(client, count / streams, ahead)));
  client.close();
}

function chat(client: Client, count: number, ahead: number): Promise<void> {
  const bytes = Buffer.alloc(1_024, "m");
  let [sent, back] = [0, 0];
  return new Promise((resolve, reject) => {
    const stream = client.makeBidiStreamRequest("/bench.Echo/Chat", plain, plain, new Metadata());
    const send = (): void => {
      sent += 1;
      stream.write(bytes);
    };
    stream
      .on("error", reject)
      .on("end", () => (back === count ? resolve() : reject(new Error(`${back} messages`))));
    stream.on("data", () => {
      back += 1;
      if (sent < count) send();
      else if (back === count) stream.end();
    });
    for (let i = 0; i < ahead; i += 1) send();
  });
}

/**
 * Opens that many connections, each with one answered request.
 * @returns a function that closes them
 */
export async function idleConnections(port: number, count: number): Promise<() => void> {
  const sessions: http2.ClientHttp2Session[] = [];
  for (let i = 0; i < count; i += 1) {
    const session = http2.connect(`http://127.0.0.1:${port}`);
    sessions.push(session);
    await new Promise<void>((resolve, reject) => {
      session.on("error", reject);
      session.request({ ":path": "/items/7" }).on("error", reject).on("end", resolve).resume();
    });
  }
  return () => sessions.forEach((session) => session.destroy());
}

/**
 * Opens that many streams before the proxy is told to drain, and continues each of them.
 * @returns how many streams did not end completely
 */
export async function lostInDrain(port: number, count: number, stop: () => Promise<void>): Promise<number> {
  const client = clientOf(port);
  const ahead = 10;
  let opened = 0;
  let open: () => void = () => {};
  const allOpen = new Promise<void>((resolve) => (open = resolve));
  const whole = Array.from({ length: count }, () => {
    let back = 0;
    const stream = client.makeBidiStreamRequest("/bench.Echo/Chat", plain, plain, new Metadata());
    stream.on("data", () => {
      back += 1;
      if (back === 1) {
        opened += 1;
        if (opened === count) open();
      } else if (back === ahead) stream.end();
    });
    stream.write(Buffer.alloc(1_024, "m"));
    void allOpen.then(async () => {
      for (let sent = 1; sent < ahead; sent += 1) {
        await pause(20);
        stream.write(Buffer.alloc(1_024, "m"));
      }
    });
    return new Promise<boolean>((resolve) => {
      stream.on("error", () => {}).on("status", ({ code }) => resolve(code === status.OK && back === ahead));
    });
  });
  await allOpen;
  const stopped = stop();
  const ends = await Promise.all(whole);
  await stopped;
  client.close();
  return ends.filter((isWhole) => !isWhole).length;
}
