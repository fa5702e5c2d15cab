// Keeps the connections of one plugin to its database: few, kept for a while, with a queue of callers that wait for
// one. Only this file loads pg. It is itself loaded only where a plugin has a database.
import pg from "pg";
import { DatabaseError } from "../../../plugin-api/database.ts";
import type { Deadline } from "../deadline.ts";
import type { DatabaseAddress } from "./address.ts";
import { Connection } from "./connection.ts";
import { failureOf } from "./failure.ts";
import { Places } from "./places.ts";

export interface PoolOptions {
  readonly address: DatabaseAddress;
  /** The name that the server shows for these connections. */
  readonly applicationName: string;
  readonly maxConnections: number;
}

/** Limit for connecting: TCP, the handshakes, and the wait in pg's queue. */
const connectLimitMs = 5_000;
const idleMs = 30_000;
/** Limits a connection's lifetime, so that connections to a server that was replaced end at some time. */
const lifetimeSeconds = 1_800;

export class Pool {
  readonly #pool: pg.Pool;
  readonly #taken = new Set<Connection>();
  readonly #places: Places;
  #closed = false;

  constructor({ address, applicationName, maxConnections }: PoolOptions) {
    this.#places = new Places(maxConnections);
    const { host, port, user, password, database, tls } = address;
    this.#pool = new pg.Pool({
      host,
      port,
      user,
      password,
      database,
      ssl: tls === undefined ? false : { rejectUnauthorized: true, ...tls },
      application_name: applicationName,
      max: maxConnections,
      idleTimeoutMillis: idleMs,
      connectionTimeoutMillis: connectLimitMs,
      maxLifetimeSeconds: lifetimeSeconds,
      allowExitOnIdle: true,
      keepAlive: true,
    });
    // An idle connection failed. The next call opens a new one.
    this.#pool.on("error", () => {});
  }

  get connections(): number {
    return this.#pool.totalCount;
  }

  /** Callers that wait for their turn. */
  get waiting(): number {
    return this.#places.waiting;
  }

  /** Waits for a turn to connect. @returns false when the deadline came first, which says nothing about the server */
  enter(deadline: Deadline): Promise<boolean> {
    return this.#places.enter(deadline);
  }

  /**
   * Connects. Call it after `enter` returned true. Rejects with a DatabaseError.
   * @param deadline if it ends first, a connection that still comes goes to the next caller
   */
  async connect(deadline: Deadline): Promise<Connection> {
    const connecting = this.#pool.connect();
    const { promise, reject } = Promise.withResolvers<never>();
    const leave = (): void => reject(new DatabaseError("timeout", "no connection in time"));
    deadline.signal.addEventListener("abort", leave, { once: true });
    if (deadline.signal.aborted) leave();
    try {
      const connection = new Connection(await Promise.race([connecting, promise]));
      this.#taken.add(connection);
      return connection;
    } catch (error) {
      connecting
        .then(
          (late) => late.release(),
          () => {},
        )
        .finally(() => this.#places.leave());
      throw failureOf(error);
    } finally {
      deadline.signal.removeEventListener("abort", leave);
    }
  }

  giveBack(connection: Connection): void {
    this.#taken.delete(connection);
    connection.giveBack();
    this.#places.leave();
  }

  /** Closes all connections. @param patient true = running queries end first; false = they are broken off */
  close(patient: boolean): void {
    if (!patient) for (const connection of this.#taken) connection.break();
    if (this.#closed) return;
    this.#closed = true;
    this.#pool.end().catch(() => {});
  }
}
