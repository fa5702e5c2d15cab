// Implements the part of WASI (`wasi_snapshot_preview1`) that the SDKs' languages import. There are no files, sockets
// or arguments. What a guest prints is logged.
import type { Effects } from "./effects.ts";
import type { HostFunctions } from "./host-functions.ts";
import type { Memory } from "./memory.ts";
import type { RandomBytes } from "./random.ts";

/** The guest ended itself. Code 0 during the start is a success. */
export class GuestExit extends Error {
  readonly code: number;
  constructor(code: number) {
    super(`the guest ended itself with code ${code}`);
    this.code = code;
  }
}

export class WasiCalls {
  readonly #memory: Memory;
  readonly #effects: Effects;
  readonly #random: RandomBytes;
  /** `name=value`, each followed by a zero byte. */
  readonly #environment: readonly string[];
  readonly #Exit: new (code: number) => Error;
  #lastMono = 0;
  /** Printed text without a line end so far, by level. */
  readonly #unended = new Map<number, string>();

  constructor(
    memory: Memory,
    effects: Effects,
    random: RandomBytes,
    environment: readonly string[],
    Exit: new (code: number) => Error,
  ) {
    this.#memory = memory;
    this.#effects = effects;
    this.#random = random;
    this.#environment = environment;
    this.#Exit = Exit;
  }

  functions(): HostFunctions {
    const memory = this.#memory;
    return {
      ...this.#absent(),
      fd_write: (fd, list, count, toWritten) => this.#print(fd, list, count, toWritten),
      fd_pwrite: (fd, list, count, _at, toWritten) => this.#print(fd, list, count, toWritten),
      fd_fdstat_get: (fd, to) => {
        if (fd !== 1 && fd !== 2) return 8;
        // A character device that can be written to.
        return memory.write(to, `\x02${"\0".repeat(7)}\x40${"\0".repeat(15)}`) ? 0 : 21;
      },
      environ_sizes_get: (toCount, toSize) => {
        const size = this.#environment.reduce((sum, entry) => sum + entry.length, 0);
        return memory.writeU32(toCount, this.#environment.length) && memory.writeU32(toSize, size) ? 0 : 21;
      },
      environ_get: (toList, toTexts) => {
        let at = toTexts;
        for (const [index, entry] of this.#environment.entries()) {
          if (!memory.writeU32(toList + index * 4, at) || !memory.write(at, entry)) return 21;
          at += entry.length;
        }
        return 0;
      },
      args_sizes_get: (toCount, toSize) =>
        memory.writeU32(toCount, 0) && memory.writeU32(toSize, 0) ? 0 : 21,
      args_get: () => 0,
      clock_time_get: (clock, _precision, to) => this.#time(clock, to),
      clock_res_get: (clock, to) => (clock >>> 0 > 1 ? 58 : memory.writeU64(to, 1_000_000n) ? 0 : 21),
      random_get: (to, size) => {
        if (size >>> 0 > 65_536) return 28;
        return memory.write(to, this.#random.take(size >>> 0)) ? 0 : 21;
      },
      sched_yield: () => 0,
      poll_oneoff: (_in, _out, _count, toCount) => (memory.writeU32(toCount, 0) ? 0 : 21),
      proc_exit: (code) => {
        throw new this.#Exit(code);
      },
    };
  }

  /** The call ends: logs what was printed without a line end. */
  flush(): void {
    if (this.#unended.size === 0) return;
    for (const [level, text] of this.#unended) this.#effects.log(level, text);
    this.#unended.clear();
  }

  // Some languages print a panic word by word.
  #log(level: number, text: string): void {
    const all = (this.#unended.get(level) ?? "") + text;
    const end = all.length > 8_192 ? all.length : all.lastIndexOf("\n");
    if (end > 0) this.#effects.log(level, all.slice(0, end));
    const rest = all.slice(end + 1);
    if (rest === "") this.#unended.delete(level);
    else this.#unended.set(level, rest);
  }

  // 8 = BADF, 44 = NOENT, 52 = NOSYS, 58 = NOTSUP.
  #absent(): HostFunctions {
    const answers: readonly (readonly [number, string])[] = [
      [0, "fd_advise"],
      [8, "fd_close fd_seek fd_tell fd_sync fd_datasync fd_allocate fd_fdstat_set_rights fd_filestat_get"],
      [
        8,
        "fd_filestat_set_size fd_filestat_set_times fd_prestat_get fd_prestat_dir_name fd_readdir fd_renumber",
      ],
      [52, "fd_read fd_pread fd_fdstat_set_flags"],
      [44, "path_open path_filestat_get path_readlink"],
      [58, "path_create_directory path_filestat_set_times path_link path_remove_directory path_rename"],
      [58, "path_symlink path_unlink_file proc_raise sock_accept sock_recv sock_send sock_shutdown"],
    ];
    const functions: HostFunctions = {};
    for (const [status, names] of answers) {
      for (const name of names.split(" ")) functions[name] = () => status;
    }
    return functions;
  }

  #time(clock: number, to: number): number {
    if (clock >>> 0 > 1) return 58;
    const now = Date.now();
    this.#lastMono = Math.max(this.#lastMono, now);
    const ms = clock === 0 ? now : this.#lastMono;
    return this.#memory.writeU64(to, BigInt(ms) * 1_000_000n) ? 0 : 21;
  }

  #print(fd: number, list: number, count: number, toWritten: number): number {
    if (fd !== 1 && fd !== 2) return 8;
    if (count >>> 0 > 1_024 || !this.#memory.has(list, (count >>> 0) * 8)) return 21;
    let text = "";
    for (let i = 0; i < count; i += 1) {
      const place = (list >>> 0) + i * 8;
      const part = this.#memory.read(this.#memory.readU32(place), this.#memory.readU32(place + 4));
      if (part === undefined || text.length + part.length > 1_048_576) return 21;
      text += part;
    }
    this.#log(fd === 1 ? 2 : 4, text);
    return this.#memory.writeU32(toWritten, text.length) ? 0 : 21;
  }
}
