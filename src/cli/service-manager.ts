// Talks to systemd: takes the sockets that it passes (sd_listen_fds(3)), and tells it that the service is ready and
// alive (sd_notify(3)). Node cannot open Unix datagram sockets, so systemd's own helper sends the messages, and the
// unit needs NotifyAccess=all.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import type { Environment, PassedSockets } from "../config/config.ts";

/** File descriptor of the first passed socket. */
const firstDescriptor = 3;
const helperLimitMs = 5_000;
const helper = ["/usr/bin/systemd-notify", "/bin/systemd-notify"];

/**
 * The passed sockets replace the addresses of the settings. The socket named `admin` (FileDescriptorName=) is for the
 * admin listener, the others are for clients. Empty when they are meant for another process.
 * @param pid this process; for a worker its primary, which listens for it
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

/** @param trouble called once, with the reason why systemd hears nothing */
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
      // Twice per watchdog interval, as sd_watchdog_enabled(3) recommends. A blocked event loop sends nothing.
      if (watchMs > 0) setInterval(() => tell("WATCHDOG=1"), watchMs / 2).unref();
    },
    stopping: () => tell("STOPPING=1"),
  };
}
