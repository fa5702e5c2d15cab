// What systemd passes to a service and wants to hear from it: sockets (sd_listen_fds(3)), that it is ready, that it is alive
// (sd_notify(3)). Node opens no datagram socket of the file system: systemd's own helper sends, so the unit says NotifyAccess=all.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import type { Environment, PassedSockets } from "../config/config.ts";

/** Of the first socket that is passed. */
const firstDescriptor = 3;
const helperLimitMs = 5_000;
const helper = ["/usr/bin/systemd-notify", "/bin/systemd-notify"];

/**
 * In place of the addresses that the settings name: the socket named `admin` (FileDescriptorName=) is the admin listener's, the
 * others are the clients'. Nothing when they are for another process.
 * @param pid this process; of a worker, its primary, which listens for it
 */
export function passedSockets(env: Environment, pid: number): PassedSockets {
  const count = Number(env["LISTEN_FDS"] ?? 0);
  if (!Number.isInteger(count) || count < 1 || Number(env["LISTEN_PID"]) !== pid) return {};
  const names = (env["LISTEN_FDNAMES"] ?? "").split(":");
  const sockets = Array.from({ length: count }, (_, at) => ({
    fd: firstDescriptor + at,
    isAdmin: names[at] === "admin",
  }));
  const listen = sockets.filter(({ isAdmin }) => !isAdmin).map(({ fd }) => fd);
  const admin = sockets.find(({ isAdmin }) => isAdmin);
  return {
    ...(listen.length === 0 ? {} : { listen }),
    ...(admin === undefined ? {} : { admin: admin.fd }),
  };
}

export interface ServiceManager {
  ready(): void;
  stopping(): void;
}

const nobody: ServiceManager = { ready: () => {}, stopping: () => {} };

/** @param trouble is told, once, why it hears nothing */
export function serviceManager(env: Environment, trouble: (text: string) => void): ServiceManager {
  const socket = env["NOTIFY_SOCKET"] ?? "";
  if (socket === "") return nobody;
  const program = helper.find((path) => existsSync(path));
  if (program === undefined) {
    trouble("systemd waits for a sign (NOTIFY_SOCKET), and there is no systemd-notify: Type=exec needs none");
    return nobody;
  }
  let isTold = false;
  const tell = (...words: readonly string[]): void => {
    const options = { env: { NOTIFY_SOCKET: socket }, timeout: helperLimitMs };
    const child = execFile(program, words, options, (error, _out, stderr) => {
      if (error !== null && !isTold) trouble(`systemd-notify: ${stderr.trim() || error.message}`);
      isTold ||= error !== null;
    });
    child.unref();
  };
  const isWatched = env["WATCHDOG_PID"] === undefined || Number(env["WATCHDOG_PID"]) === process.pid;
  const watchMs = isWatched ? Number(env["WATCHDOG_USEC"] ?? 0) / 1000 : 0;
  return {
    ready() {
      tell("READY=1");
      // Half of what it waits, as sd_watchdog_enabled(3) has it. An event loop that stands still sends nothing.
      if (watchMs > 0) setInterval(() => tell("WATCHDOG=1"), watchMs / 2).unref();
    },
    stopping: () => tell("STOPPING=1"),
  };
}
