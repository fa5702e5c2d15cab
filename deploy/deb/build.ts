// `npm run deb`: builds a Debian package for this machine's architecture from the bundle, the Node that runs this
// program, and the systemd units. `node deploy/deb/build.ts [folder of the bundle] [file]`
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { manPage } from "../man.ts";
import { nodeEnvironment, nodeFlags } from "../node-flags.ts";

const root = join(import.meta.dirname, "../..");
const { version, description } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  version: string;
  description: string;
};

function put(file: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  chmodSync(file, mode);
}

const exports = Object.entries(nodeEnvironment)
  .map(([name, value]) => `export ${name}="\${${name}:-${value}}"`)
  .join("\n");

/** The command for everything. It uses `exec`, so that the process that systemd watches is Node itself. */
const command = `#!/bin/sh
# The command line, and the sidecar: Node and the program of this package.
${exports}
exec /usr/lib/outrigger/node ${nodeFlags.join(" ")} /usr/lib/outrigger/outrigger.cjs "$@"
`;

/**
 * Reloads systemd's units. It starts and stops nothing: the administrator decides which services a host has. A running
 * sidecar is restarted by hand.
 */
const reload = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
`;

function controlOf(architecture: string, kilobytes: number): string {
  return `Package: outrigger
Version: ${version}
Architecture: ${architecture}
Maintainer: The Outrigger maintainers <outrigger@localhost>
Installed-Size: ${kilobytes}
Depends: libc6 (>= 2.28), libstdc++6, libatomic1
Recommends: util-linux, ca-certificates
Suggests: redis-tools
Section: net
Priority: optional
Description: ${description}
 One small process beside each service, which applies the plugins that a central policy names and forwards to the service.
 It brings the Node that it runs on.
`;
}

const completions = [
  ["bash", "bash-completion/completions/outrigger"],
  ["zsh", "zsh/vendor-completions/_outrigger"],
  ["fish", "fish/vendor_completions.d/outrigger.fish"],
] as const;

/**
 * Writes the package's tree of files.
 * @param bundle the output of deploy/bundle.ts
 */
async function fill(tree: string, bundle: string): Promise<void> {
  const library = join(tree, "usr/lib/outrigger");
  mkdirSync(dirname(library), { recursive: true });
  cpSync(bundle, library, { recursive: true });
  copyFileSync(process.execPath, join(library, "node"));
  put(join(tree, "usr/bin/outrigger"), command, 0o755);
  for (const unit of ["outrigger@.service", "outrigger@.socket", "outrigger-intercept@.service"])
    put(join(tree, "lib/systemd/system", unit), readFileSync(join(root, "deploy/systemd", unit), "utf8"));
  const docs = join(tree, "usr/share/doc/outrigger");
  put(join(docs, "copyright"), readFileSync(join(root, "LICENSE"), "utf8"));
  put(join(docs, "vm.md"), readFileSync(join(root, "deploy/guides/vm.md"), "utf8"));
  mkdirSync(join(tree, "etc/outrigger"), { recursive: true });
  put(join(tree, "usr/share/man/man1/outrigger.1"), await manPage());
  for (const [shell, file] of completions) {
    const text = execFileSync(process.execPath, [join(root, "src/main.ts"), "completion", shell], {
      encoding: "utf8",
    });
    put(join(tree, "usr/share", file), text);
  }
}

/** @returns the path of the package */
async function build(bundle: string, file: string | undefined, compression: string): Promise<string> {
  const architecture = execFileSync("dpkg", ["--print-architecture"], { encoding: "utf8" }).trim();
  const tree = mkdtempSync(join(tmpdir(), "outrigger-deb-"));
  try {
    chmodSync(tree, 0o755);
    await fill(tree, bundle);
    const size = Number(/^\d+/.exec(execFileSync("du", ["-sk", tree], { encoding: "utf8" }))?.[0]);
    put(join(tree, "DEBIAN/control"), controlOf(architecture, size));
    for (const script of ["postinst", "postrm"]) put(join(tree, "DEBIAN", script), reload, 0o755);
    const to = file ?? join(root, `outrigger_${version}_${architecture}.deb`);
    execFileSync("dpkg-deb", ["--root-owner-group", `-Z${compression}`, "--build", tree, to], {
      stdio: "pipe",
    });
    return to;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { compression: { type: "string", default: "xz" } },
});
const [bundle = join(root, "dist"), file] = positionals;
process.stdout.write(`${await build(resolve(bundle), file, values.compression)}\n`);
