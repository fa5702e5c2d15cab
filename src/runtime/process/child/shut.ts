// Removes from this process what a plugin does not need, before any of its code runs. The actual barrier is Node's
// permission model (no files, sockets, processes, threads, addons, WASI, inspector: the flags of command.ts). Where the
// sidecar is root, this process also runs as another user. The removals here cover what those leave open: signals to
// processes of the same user.

/** Members of `process` that reach beyond it or into Node's internals. */
const taken = [
  "_channel",
  "_debugEnd",
  "_debugProcess",
  "_getActiveHandles",
  "_getActiveRequests",
  "_kill",
  "_linkedBinding",
  "_rawDebug",
  "abort",
  "binding",
  "chdir",
  "dlopen",
  "execve",
  "getBuiltinModule",
  "initgroups",
  "kill",
  "loadEnvFile",
  "mainModule",
  "reallyExit",
  "report",
  "setegid",
  "seteuid",
  "setgid",
  "setgroups",
  "setuid",
  "umask",
];

export function shutProcess(): void {
  dropPermissions();
  for (const name of taken) Reflect.deleteProperty(process, name);
  for (const name of ["binding", "kill", "getBuiltinModule"] as const) {
    if (name in process) throw new Error(`process.${name} cannot be taken away`);
  }
  Object.defineProperty(globalThis, "process", { value: standIn(), writable: true, configurable: true });
  for (const name of [
    "fetch",
    "WebSocket",
    "EventSource",
    "BroadcastChannel",
    "localStorage",
    "sessionStorage",
  ])
    Reflect.deleteProperty(globalThis, name);
}

/** Gives up the permission to read files: this program was all that it could read. */
function dropPermissions(): void {
  const { permission } = process as {
    permission?: { has(scope: string): boolean; drop?(scope: string): void };
  };
  if (permission === undefined) throw new Error("this process runs without --permission");
  permission.drop?.("fs.read");
  for (const scope of ["fs.read", "fs.write", "child", "worker", "net", "addons", "wasi", "inspector"]) {
    if (permission.has(scope)) throw new Error(`this process has the permission ${scope}`);
  }
}

/** A replacement with the members of `process` that libraries use while they load. */
function standIn(): object {
  const { platform, arch, version, versions } = process;
  return {
    env: {},
    argv: [],
    execArgv: [],
    pid: 0,
    platform,
    arch,
    version,
    versions: { ...versions },
    nextTick: process.nextTick.bind(process),
    hrtime: process.hrtime.bind(process),
    cwd: () => "/",
    uptime: () => performance.now() / 1000,
    emitWarning() {},
    on() {},
    once() {},
    off() {},
  };
}
