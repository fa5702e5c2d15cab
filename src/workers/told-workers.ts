// Keeps what the primary tells every worker, so that a later worker gets it with its welcome.
import type { ToldToAll, ToWorker } from "./messages.ts";

interface Told {
  send(message: ToWorker): void;
}

export class ToldWorkers {
  readonly #count: number;
  readonly #workers: () => readonly Told[];
  #all: ToldToAll = {
    fleetSize: 1,
    draining: false,
    switches: [],
    keySets: [],
    trial: undefined,
    drill: undefined,
  };
  #drillEndsMono = 0;

  constructor(count: number, workers: () => readonly Told[]) {
    this.#count = count;
    this.#workers = workers;
    this.#all.fleetSize = count;
  }

  get all(): Readonly<ToldToAll> {
    const { drill } = this.#all;
    if (drill === undefined) return this.#all;
    const leftMs = Math.floor(this.#drillEndsMono - performance.now());
    return { ...this.#all, drill: leftMs > 0 ? { ...drill, forMs: leftMs } : undefined };
  }

  broadcast(message: ToWorker): void {
    for (const worker of this.#workers()) worker.send(message);
  }

  /** @param sidecars the number of live sidecars of the service */
  setFleet(sidecars: number): void {
    this.#all.fleetSize = sidecars * this.#count;
    this.broadcast({ type: "fleet", size: this.#all.fleetSize });
  }

  switchOff(switches: Readonly<ToldToAll["switches"]>): void {
    this.#all.switches = [...switches];
    this.broadcast({ type: "disabled", switches: this.#all.switches });
  }

  /** @param keySets the trusted key documents, oldest first */
  trust(keySets: readonly Uint8Array[]): void {
    this.#all.keySets = [...keySets];
    this.broadcast({ type: "trust", keySets: this.#all.keySets });
  }

  /** @param trial a candidate beside the policy in force; undefined = none */
  tryCandidate(trial: ToldToAll["trial"]): void {
    this.#all.trial = trial;
    this.broadcast({ type: "trial", trial });
  }

  /** @param drill the fault that all simulate; undefined = the drill is over */
  tellDrill(drill: ToldToAll["drill"]): void {
    this.#all.drill = drill;
    this.#drillEndsMono = performance.now() + (drill?.forMs ?? 0);
    this.broadcast({ type: "drill", drill });
  }

  beginDrain(): void {
    this.#all.draining = true;
    this.broadcast({ type: "drain" });
  }

  /** Makes workers that start from now on drain at once; the others are told to stop. */
  halt(): void {
    this.#all.draining = true;
  }
}
