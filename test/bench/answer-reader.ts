// Finds the end of each answer in a connection's bytes, with no more work than it takes to tell good answers from bad
// ones.

export interface Answer {
  readonly status: number;
  readonly bodyBytes: number;
  readonly closes: boolean;
}

const lastChunk = Buffer.from("0\r\n\r\n");

export class AnswerReader {
  #head = "";
  #status = 0;
  #closes = false;
  #bodyBytes = 0;
  /** Body bytes still to come; undefined = chunked, or still in the head. */
  #left: number | undefined = undefined;
  #tail = Buffer.alloc(0);
  #inBody = false;

  /** @returns the answer if these bytes complete it */
  feed(bytes: Buffer): Answer | undefined {
    let body = bytes;
    if (!this.#inBody) {
      const { length } = this.#head;
      this.#head += bytes.toString("latin1");
      const end = this.#head.indexOf("\r\n\r\n");
      if (end === -1) return undefined;
      this.#readHead(this.#head.slice(0, end + 2));
      body = bytes.subarray(end + 4 - length);
    }
    return this.#readBody(body) ? this.#finish() : undefined;
  }

  #readHead(head: string): void {
    this.#inBody = true;
    this.#status = Number(head.slice(9, 12));
    this.#closes = /\r\nconnection: *close\r\n/iu.test(head);
    const length = /\r\ncontent-length: *(\d+)\r\n/iu.exec(head)?.[1];
    this.#left = length === undefined ? undefined : Number(length);
  }

  #readBody(bytes: Buffer): boolean {
    this.#bodyBytes += bytes.length;
    if (this.#left !== undefined) {
      this.#left -= bytes.length;
      return this.#left <= 0;
    }
    // The upstream's bodies consist of x only, so that nothing else looks like the last chunk.
    this.#tail = Buffer.concat([this.#tail, bytes.subarray(-lastChunk.length)]).subarray(-lastChunk.length);
    return this.#tail.equals(lastChunk);
  }

  #finish(): Answer {
    const answer = { status: this.#status, bodyBytes: this.#bodyBytes, closes: this.#closes };
    this.#head = "";
    this.#bodyBytes = 0;
    this.#left = undefined;
    this.#tail = Buffer.alloc(0);
    this.#inBody = false;
    return answer;
  }
}
