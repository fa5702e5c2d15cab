// Declares `outrigger intercept …`, which redirects a service's port to its sidecar.
import { type Command, InvalidArgumentError } from "commander";
import { FormatError, integer } from "../config/formats.ts";
import { type Choose, json } from "./command-parts.ts";
import type { InterceptOptions } from "./intercept.ts";
import type { Terminal } from "./terminal.ts";

const service = ["--service <name>", "the service; default: OUTRIGGER_SERVICE"] as const;
const maxPorts = 32;

function checked<Value>(parse: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof FormatError) throw new InvalidArgumentError(error.message);
      throw error;
    }
  };
}

const port = checked(integer(1, 65_535));
const uid = checked(integer(0, 4_294_967_294));
const ports = (text: string): readonly number[] => {
  const list = text.split(",").map((each) => port(each.trim()));
  if (list.length > maxPorts) throw new InvalidArgumentError(`must be at most ${maxPorts} ports`);
  return list;
};

export function addInterceptCommands(program: Command, terminal: Terminal, choose: Choose): void {
  const intercept = program
    .command("intercept")
    .description("send the connections for a service's port to its sidecar, by rules of nftables");
  const run = (what: "install" | "remove" | "status") => (options: InterceptOptions) =>
    choose(async () => (await import("./intercept.ts"))[what](terminal, options));
  addInstall(intercept).action(run("install"));
  intercept
    .command("remove")
    .description("take the service's rules away, all of them")
    .option(...service)
    .option(...json)
    .action(run("remove"));
  intercept
    .command("status")
    .description("print what is intercepted, since how many connections, and whether the rules are whole")
    .option(...service)
    .option("--port <port>", "the port that should be; default: that of OUTRIGGER_UPSTREAM", port)
    .option("--to-port <port>", "where to; default: the first of OUTRIGGER_LISTEN", port)
    .option(...json)
    .action(run("status"));
}

function addInstall(intercept: Command): Command {
  return intercept
    .command("install")
    .description("put the rules in force, in place of what is there of them; needs CAP_NET_ADMIN")
    .option(...service)
    .option("--port <port>", "the service's port; default: that of OUTRIGGER_UPSTREAM", port)
    .option("--to-port <port>", "the sidecar's port; default: the first of OUTRIGGER_LISTEN", port)
    .option(
      "--egress-ports <ports>",
      "also send outbound calls to these ports to OUTRIGGER_EGRESS: 80,8080",
      ports,
    )
    .option("--sidecar-uid <uid>", "user whose outbound calls pass; default: 65532, that of the image", uid)
    .option(
      "--service-uid <uid>",
      "user whose outbound calls alone are sent there; default: all but the sidecar's",
      uid,
    )
    .option(
      "--node-address <address>",
      "address of the pod's node (status.hostIP): refuse where the pod has it, too",
    )
    .option("--allow-ssh", "take port 22, too")
    .option("--dry-run", "print the rules as JSON (for nft -j -f) and change nothing")
    .option(...json);
}
