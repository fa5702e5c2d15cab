// The connections of one plugin to its database: few, kept for a while, and a bounded number of callers that wait for one.
// The only file that loads pg, and itself loaded only where a plugin has a database.
import pg from "pg";
import { DatabaseError } from "../../../plugin-api/database.ts";
import type { Deadline } from "../deadline.ts";
import type { DatabaseAddress } from "./address.ts";
import { Connection } from "./connection.ts";
import { failureOf } from "./failure.ts";

export interface PoolOptions {
  readonly address: DatabaseAddress;
  /** As the server shows it. */
  readonly applicationName: string;
  readonly maxConnections: number;
}

/** For a connection, its handshakes and its place in the queue. */
const connectLimitMs = 5_000;
const idleMs = 30_000;
/** So that a server that was replaced by another one is left. */
const lifetimeSeconds = 1_800;

export class Pool {
  readonly #pool: pg.Pool;
  readonly #taken = new Set<Connection>();
  #closed = false;

  constructor({ address, applicationName, maxConnections }: PoolOptions) {
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
    // Of an idle connection: the next one is a new one.
    this.#pool.on("error", () => {});
  }

  get connections(): number {
    return this.#pool.totalCount;
  }

  get waiting(): number {
    return this.#pool.waitingCount;
  }

  /** Whether all connections are taken: who waits then says nothing of the server. */
  get isExhausted(): boolean {
    return this.#taken.size >= (this.#pool.options.max ?? 0);
  }

  /** Rejects with a DatabaseError. @param deadline when it is over, the connection that still comes is the next one's */
  async take(deadline: Deadline): Promise<Connection> {
    const taking = this.#pool.connect();
    const { promise, reject } = Promise.withResolvers<never>();
    const leave = (): void => reject(new DatabaseError("timeout", "no connection in time"));
    deadline.signal.addEventListener("abort", leave, { once: true });
    if (deadline.signal.aborted) leave();
    try {
      const client = await Promise.race([taking, promise]);
      const connection = new Connection(client);
      this.#taken.add(connection);
      return connection;
    } catch (error) {
      taking.then(
        (late) => late.release(),
        () => {},
      );
      throw failureOf(error);
    } finally {
      deadline.signal.removeEventListener("abort", leave);
    }
  }

  giveBack(connection: Connection): void {
    this.#taken.delete(connection);
    connection.giveBack();
  }

  /** Breaks what is under way, too. @param patient = lets that end first */
  close(patient: boolean): void {
    if (!patient) for (const connection of this.#taken) connection.break();
    if (this.#closed) return;
    this.#closed = true;
    this.#pool.end().catch(() => {});
  }
}
