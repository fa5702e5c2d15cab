// Reads and writes the frames that go over the socket between a sidecar and a plugin's process, both ways. A frame is a
// length (4 bytes), a kind (1 byte) and that many bytes. A frame of messages is one JSON array of everything said in
// one turn of the event loop. Bytes (bodies) go before the messages that refer to them by their place among those
// bytes.

const headBytes = 5;
const messagesKind = 0;
const bytesKind = 1;

/** Bodies and texts of several messages are joined up to these sizes: the receiver takes at most 1 MiB at a time. */
const maxBytesWaiting = 1_048_576;
const maxCharactersWaiting = 131_072;

/** The part of a socket that frames need. */
export interface FrameSocket {
  write(bytes: Buffer): unknown;
}

export class FrameWriter {
  readonly #socket: FrameSocket;
  #texts: string[] = [];
  #characters = 0;
  #frames: Buffer[] = [];
  #blobs = 0;
  #blobBytes = 0;
  #scheduled = false;
  readonly #flush = (): void => this.flush();

  constructor(socket: FrameSocket) {
    this.#socket = socket;
  }

  /** @param message plain data */
  send(message: readonly unknown[]): void {
    const text = JSON.stringify(message);
    this.#texts.push(text);
    this.#characters += text.length;
    if (this.#blobBytes > maxBytesWaiting || this.#characters > maxCharactersWaiting) return this.flush();
    if (this.#scheduled) return;
    this.#scheduled = true;
    // Runs after everything that arrived in this turn has been read, so that all answers go out in one write.
    setImmediate(this.#flush);
  }

  /** @returns the place of the bytes, for a message that follows in the same turn */
  bytes(content: Buffer): number {
    this.#frames.push(frameHead(bytesKind, content.length), content);
    this.#blobs += 1;
    this.#blobBytes += content.length;
    return this.#blobs - 1;
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#texts.length === 0) return;
    const text = `[${this.#texts.join(",")}]`;
    const frame = Buffer.allocUnsafe(headBytes + Buffer.byteLength(text));
    frame.writeUInt32BE(frame.length - headBytes, 0);
    frame[4] = messagesKind;
    frame.write(text, headBytes);
    this.#texts = [];
    this.#characters = 0;
    const before = this.#frames;
    this.#frames = [];
    this.#blobs = 0;
    this.#blobBytes = 0;
    this.#socket.write(before.length === 0 ? frame : Buffer.concat([...before, frame]));
  }
}

function frameHead(kind: number, length: number): Buffer {
  const head = Buffer.allocUnsafe(headBytes);
  head.writeUInt32BE(length, 0);
  head[4] = kind;
  return head;
}

export interface FrameLimits {
  /** Limit of one frame of messages. */
  readonly messageBytes: number;
  /** Limit of all bytes that go before one frame of messages. */
  readonly blobBytes: number;
}

/** Called for each frame of messages, with the bytes that came before it. */
export type OnMessages = (messages: readonly unknown[], blobs: readonly Buffer[]) => void;

const noBlobs: readonly Buffer[] = [];

/**
 * Splits what arrives into frames. `push` throws an Error that says what is wrong; the reader cannot be used
 * afterwards.
 */
export class FrameReader {
  readonly #limits: FrameLimits;
  readonly #onMessages: OnMessages;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** How many bytes must have arrived before there is anything to read. */
  #wanted = headBytes;
  #blobs: Buffer[] = [];
  #blobBytes = 0;

  constructor(limits: FrameLimits, onMessages: OnMessages) {
    this.#limits = limits;
    this.#onMessages = onMessages;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < this.#wanted) return;
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#bytes);
    for (;;) {
      this.#wanted = rest.length < headBytes ? headBytes : headBytes + this.#lengthOf(rest);
      if (rest.length < this.#wanted) break;
      const end = this.#wanted;
      this.#take(rest[4] as number, rest.subarray(headBytes, end));
      rest = rest.subarray(end);
    }
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
  }

  #lengthOf(head: Buffer): number {
    const length = head.readUInt32BE(0);
    const kind = head[4] as number;
    const { messageBytes, blobBytes } = this.#limits;
    if (kind !== messagesKind && kind !== bytesKind) throw new Error(`sent a frame of kind ${kind}`);
    const most = kind === messagesKind ? messageBytes : blobBytes - this.#blobBytes;
    if (length > most)
      throw new Error(`announced ${length} bytes ${kind === messagesKind ? "of messages" : "of a body"}`);
    return length;
  }

  #take(kind: number, payload: Buffer): void {
    if (kind === bytesKind) {
      // Empty bodies add no bytes, but many of them cost memory too.
      if (this.#blobs.length >= maxBlobs) throw new Error("sent too many bodies at once");
      this.#blobs.push(payload);
      this.#blobBytes += payload.length;
      return;
    }
    const blobs = this.#blobs.length === 0 ? noBlobs : this.#blobs;
    this.#blobs = [];
    this.#blobBytes = 0;
    this.#onMessages(messagesIn(payload), blobs);
  }
}

const maxBlobs = 1_024;

function messagesIn(payload: Buffer): readonly unknown[] {
  let messages: unknown;
  try {
    // JSON.parse makes a member called `__proto__` an ordinary member.
    messages = JSON.parse(payload.toString());
  } catch {
    throw new Error("sent what is no JSON");
  }
  if (!Array.isArray(messages)) throw new Error("sent what is no list of messages");
  return messages;
}
