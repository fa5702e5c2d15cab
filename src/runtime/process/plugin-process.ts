// Starts and ends one plugin process, and carries its messages both ways. A process that says more than it was asked
// for is killed, so that it cannot fill the sidecar's memory.
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
  /** Limit of a body that the plugin answers with. */
  readonly maxBodyBytes: number;
  /** Time limit of a hook. */
  readonly timeMs: number;
  readonly now: () => number;
  /** Called for a message that is neither an answer to a call nor a pong. */
  onMessage(message: readonly unknown[], blobs: readonly Buffer[]): void;
  /** The process has ended; no message follows. @param reason in plain words */
  onEnd(reason: string): void;
}

const messageBytes = 1_048_576;
/** How many bytes the process may send unasked: this many at once, and as many again each second. */
const creditBytes = 2_097_152;
/** Bytes of an answer, beside its body, that do not count as unasked. */
const creditPerAnswer = 16_384;
/**
 * How many bytes the bodies of several answers may have together, in addition to one body of the largest allowed size.
 */
const sparedBytes = 2_097_152;
/** Most bytes that may wait for the process to read them. */
const maxUnreadBytes = 33_554_432;
const maxStderrLength = 4_096;

export class PluginProcess {
  readonly calls: Calls;
  /** How many pings the process has answered. */
  pongs = 0;
  stderr = "";
  readonly #parts: ProcessParts;
  readonly #child: ChildProcess;
  readonly #socket: Socket;
  readonly #writer: FrameWriter;
  readonly #reader: FrameReader;
  readonly #exited = Promise.withResolvers<void>();
  #credit = creditBytes;
  /** The blobs of the current frame, once they were taken as asked for. */
  #earnedBlobs: readonly Buffer[] | undefined;
  /** How far an answer that has not fully arrived may overdraw the credit. */
  readonly #mostUnasked: number;
  #folder: string | undefined;
  #over = false;
  #reason: string | undefined;

  /** Begins to start the process. @throws Error when that is not possible here */
  constructor(parts: ProcessParts) {
    this.#parts = parts;
    this.calls = new Calls(parts.maxBodyBytes, parts.timeMs, parts.now);
    this.#folder = mkdtempSync(join(tmpdir(), "outrigger-plugin-"));
    const { program, args } = parts.command;
    this.#child = spawn(program, args, {
      env: {},
      cwd: this.#folder,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      // A new session: signals that a terminal sends to the sidecar do not reach the process.
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

  /** @returns the place of the bytes, for a message that is sent in the same turn */
  bytes(content: Buffer): number {
    return this.#writer.bytes(content);
  }

  /** Removes the working folder. Once the process runs, nothing needs it. */
  removeFolder(): void {
    const folder = this.#folder;
    this.#folder = undefined;
    if (folder === undefined) return;
    try {
      rmdirSync(folder);
    } catch {
      // The folder is empty, and may stay.
    }
  }

  /** Call once a second or more often: renews the credit, and kills a process that does not read what it is sent. */
  tick(passedMs: number): void {
    this.#credit = Math.min(creditBytes, this.#credit + (creditBytes * passedMs) / 1000);
    if (this.#socket.writableLength > maxUnreadBytes) this.kill("it does not read what it is sent");
  }

  /** The message was asked for, so its bytes are added to the credit again. The rest of its frame still counts. */
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

  /** Resolves when the process is gone. */
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

  /**
   * The process closed its socket. If it is dying, its exit tells the reason in a moment; otherwise it is of no use.
   */
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

/** Makes the kernel's OOM killer choose this process first. */
function killFirst(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, "1000");
  } catch {
    // Not Linux, or not allowed: the watch of its memory remains.
  }
}
