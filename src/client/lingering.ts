// Keeps connections whose answer is written while the client still sends. Their bytes are read and dropped for a while,
// since closing on unread bytes would reset the connection before the client has read the answer (RFC 9112 section
// 9.6).
import { IntrusiveSet, type IntrusiveItem } from "../v8/intrusive-set.ts";

// As in nginx (`lingering_time`, `lingering_timeout`): the limit is a time, so that an upload of any size can end.
const maxMs = 30_000;
const quietMs = 5_000;
/** Used when many connections linger, or when the process is about to end. */
const hurriedMs = 1_000;
const crowd = 1_024;
const tickMs = 250;

/** Its byte count shows whether the client still sends. */
interface Sender {
  readonly bytesRead: number;
}

interface Lingerer extends IntrusiveItem {
  readonly sender: Sender;
  readonly close: () => void;
  endsAt: number;
  bytesRead: number;
  quietSince: number;
}

export class Lingering {
  readonly #all = new IntrusiveSet<Lingerer>();
  #timer: NodeJS.Timeout | undefined = undefined;
  #hurried = false;

  get size(): number {
    return this.#all.size;
  }

  /**
   * Call it after the answer is written, and let the client's bytes be read.
   * @param close called once, when the time is over or the client silent
   * @returns call it when the client has sent everything, or left: it calls `close` if that has not happened
   */
  add(sender: Sender, close: () => void): () => void {
    const now = performance.now();
    const hurried = this.#hurried || this.#all.size >= crowd;
    const endsAt = now + (hurried ? hurriedMs : maxMs);
    const lingerer = { sender, close, endsAt, bytesRead: sender.bytesRead, quietSince: now, setIndex: -1 };
    this.#all.add(lingerer);
    this.#timer ??= setInterval(() => this.#tick(), tickMs).unref();
    return () => this.#end(lingerer);
  }

  /** Shortens the time of all connections. */
  hurry(): void {
    this.#hurried = true;
    const endsAt = performance.now() + hurriedMs;
    for (const each of this.#all.all()) each.endsAt = Math.min(each.endsAt, endsAt);
  }

  #tick(): void {
    const now = performance.now();
    for (const each of this.#all.all()) {
      const { bytesRead } = each.sender;
      if (bytesRead !== each.bytesRead) {
        each.bytesRead = bytesRead;
        each.quietSince = now;
      }
      if (now >= each.endsAt || now - each.quietSince >= quietMs) this.#end(each);
    }
  }

  #end(lingerer: Lingerer): void {
    if (lingerer.setIndex === -1) return;
    this.#all.delete(lingerer);
    if (this.#all.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    lingerer.close();
  }
}
