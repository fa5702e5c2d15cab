// One life of a plugin's process: its socket, the messages both ways, and its end. Whatever it says that is not what it
// was asked for costs it its life, not the sidecar's memory.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmdirSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Calls } from "./calls.ts";
import type { ProcessCommand } from "./command.ts";
import { FrameReader, FrameWriter } from "./frames.ts";
import type { ToProcess } from "./protocol.ts";

export interface ProcessParts {
  readonly command: ProcessCommand;
  /** Of a body that the plugin answers with. */
  readonly maxBodyBytes: number;
  /** Of a hook. */
  readonly timeMs: number;
  readonly now: () => number;
  /** A message that is neither an answer to a call nor a pong. */
  onMessage(message: readonly unknown[], blobs: readonly Buffer[]): void;
  /** It has ended; nothing comes any more. @param reason in plain words */
  onEnd(reason: string): void;
}

const messageBytes = 1_048_576;
/** What it may say without being asked: this much, and as much again each second. */
const creditBytes = 2_097_152;
/** What an answer may be long, beside its body, to cost nothing of that. */
const creditPerAnswer = 16_384;
/** What bodies of several answers may be together before the one that is too much. */
const sparedBytes = 2_097_152;
/** What may wait for it to be read. */
const maxUnreadBytes = 33_554_432;
const maxStderrLength = 4_096;

export class PluginProcess {
  readonly calls: Calls;
  /** Pings that it has answered. */
  pongs = 0;
  stderr = "";
  readonly #parts: ProcessParts;
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  readonly #exited = Promise.withResolvers<void>();
  #credit = creditBytes;
  /** Of the frame at hand, once they were earned. */
  #earnedBlobs: readonly Buffer[] | undefined;
  /** How far the credit may be overdrawn by an answer that has not come to its end. */
  readonly #mostUnasked: number;
  #folder: string | undefined;
  #over = false;
  #reason: string | undefined;

  /** Begins to start it. @throws Error when that is not possible here */
  constructor(parts: ProcessParts) {
    this.#parts = parts;
    this.calls = new Calls(parts.maxBodyBytes, parts.timeMs, parts.now);
    this.#folder = mkdtempSync(join(tmpdir(), "outrigger-plugin-"));
    const { program, args } = parts.command;
    this.#child = spawn(program, args, {
      env: {},
      cwd: this.#folder,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      // A session of its own: what a terminal sends to the sidecar is not for it.
      detached: true,
    });
    this.#socket = this.#child.stdio[3] as Socket;
    this.#writer = new FrameWriter(this.#socket);
    const blobBytes = parts.maxBodyBytes + sparedBytes;
    this.#mostUnasked = blobBytes + messageBytes;
    this.#reader = new FrameReader({ messageBytes, blobBytes }, (messages, blobs) => {
      for (const message of messages) this.#take(message, blobs);
    });
    this.#listen();
    if (this.pid !== undefined) killFirst(this.pid);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get over(): boolean {
    return this.#over;
  }

  send(message: ToProcess): void {
    this.#writer.send(message);
  }

  /** @returns its place, for a message that is sent in the same turn */
  bytes(content: Buffer): number {
    return this.#writer.bytes(content);
  }

  /** Once it runs, the folder that it was started in is nobody's. */
  removeFolder(): void {
    const folder = this.#folder;
    this.#folder = undefined;
    if (folder === undefined) return;
    try {
      rmdirSync(folder);
    } catch {
      // It is empty, and may stay.
    }
  }

  /** Once a second or more often: what it may say grows, and what it does not read has an end. */
  tick(passedMs: number): void {
    this.#credit = Math.min(creditBytes, this.#credit + (creditBytes * passedMs) / 1000);
    if (this.#socket.writableLength > maxUnreadBytes) this.kill("it does not read what it is sent");
  }

  /** It said what it was asked to say: that costs nothing, and what else is in the frame does. */
  earn(message: readonly unknown[], blobs: readonly Buffer[]): void {
    let bytes = Math.min(JSON.stringify(message).length + 1, creditPerAnswer);
    if (blobs !== this.#earnedBlobs) for (const { length } of blobs) bytes += length;
    this.#earnedBlobs = blobs;
    this.#credit = Math.min(creditBytes, this.#credit + bytes);
  }

  kill(reason: string): void {
    this.#reason ??= reason;
    this.#child.kill("SIGKILL");
    this.#end();
  }

  /** Resolves when it is gone. */
  async close(): Promise<void> {
    this.kill("it is not needed any more");
    await this.#exited.promise;
  }

  #listen(): void {
    this.#child.once("error", (error) => {
      this.#reason ??= `it cannot be started: ${error.message}`;
      this.#exited.resolve();
      this.#end();
    });
    this.#child.once("exit", (code, signal) => {
      this.#reason ??= code === null ? `it was ended by ${signal}` : `it exited with code ${code}`;
      this.#exited.resolve();
      this.#end();
    });
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      if (this.stderr.length < maxStderrLength) this.stderr += chunk.toString("latin1", 0, maxStderrLength);
    });
    this.#socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on("error", () => this.kill("its socket broke"));
    this.#socket.on("end", () => this.#ended());
  }

  /** It closed its socket: it is dying, and says how in a moment, or it is of no use. */
  #ended(): void {
    setTimeout(() => this.kill("it closed its socket"), 100).unref();
  }

  #receive(chunk: Buffer): void {
    if (this.#over) return;
    this.#credit -= chunk.length;
    if (this.#credit < (this.calls.size > 0 ? -this.#mostUnasked : 0))
      return this.kill("it says more than it was asked for");
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.kill(`it ${(error as Error).message}`);
    }
  }

  #take(message: unknown, blobs: readonly Buffer[]): void {
    if (this.#over) return;
    if (!Array.isArray(message)) throw new Error("sent a message that is none");
    const [kind] = message as readonly unknown[];
    if (kind === "answer") {
      if (this.calls.get(message[1]) !== undefined) this.earn(message, blobs);
      this.calls.answered(message[1], message[2], message[3], blobs);
    } else if (kind === "pong") this.pongs += 1;
    else this.#parts.onMessage(message, blobs);
    if (this.calls.unknown > maxUnknown) throw new Error("answers what it was not asked");
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.removeFolder();
    this.#socket.destroy();
    this.#child.stderr?.destroy();
    this.#child.unref();
    const reason = this.#reason ?? "it ended";
    this.calls.failAll(new Error(`its process is gone: ${reason}`));
    this.#parts.onEnd(reason);
  }
}

const maxUnknown = 10_000;

/** When the machine has no memory left, the kernel takes this one. */
function killFirst(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, "1000");
  } catch {
    // No Linux, or not allowed to: the watch of its memory remains.
  }
}
