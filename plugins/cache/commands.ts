// Declares the `cache` commands with their options. The code of a command is loaded when the command runs.
import { type CommandGroup, defineCommand } from "../../src/plugin-api/contract.ts";

export const commands: readonly CommandGroup[] = [
  {
    name: "cache",
    about: "work on cached responses",
    commands: [
      defineCommand({
        name: "purge",
        about: "purge stored responses at every sidecar of a service",
        options: {
          url: {
            value: "url",
            repeatable: true,
            about: "http://host/path?query, or /path?query of any host; repeatable",
          },
          prefix: {
            value: "prefix",
            repeatable: true,
            about: "everything that begins with http://host/path or /path; repeatable",
          },
          tag: {
            value: "tag",
            repeatable: true,
            about: "everything with this Cache-Tag or Surrogate-Key; repeatable",
          },
          all: { about: "everything" },
          soft: { about: "mark stale instead of removing" },
          service: { value: "name", about: "whose cache (default: OUTRIGGER_SERVICE)" },
        },
        run: async (context, given) => (await import("./purge/cache-purge.ts")).purgeCache(context, given),
      }),
    ],
  },
];
