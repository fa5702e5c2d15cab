// The `keys` and `sessions` commands with their arguments and options. The code of each is loaded when it runs.
import { type CommandGroup, defineCommand } from "../../src/plugin-api/contract.ts";

const key = {
  value: "file",
  about: "sign its record with this private key of OUTRIGGER_POLICY_KEYS, for apiKeys.signed",
} as const;

const keys: CommandGroup = {
  name: "keys",
  about: "work on API keys in Redis",
  commands: [
    defineCommand({
      name: "create",
      about: "make an API key and print it, once",
      options: {
        user: { value: "id", about: "whose key it is", required: true },
        plan: { value: "name", about: "plan of the holder" },
        scopes: { value: "list", about: "scopes, separated by commas" },
        expires: { value: "time", about: "when it ends, e.g. 90d (default: never)" },
        key,
      },
      run: async (context, given) => (await import("./api-keys/keys-create.ts")).createKey(context, given),
    }),
    defineCommand({
      name: "list",
      about: "print all keys, their state and who still uses them",
      options: {},
      run: async (context) => (await import("./api-keys/keys-list.ts")).listKeys(context),
    }),
    defineCommand({
      name: "rotate",
      about: "make a new key for the same caller and let the old one end",
      options: {
        id: { positional: true, required: true, about: "of the key that ends" },
        overlap: { value: "time", about: "how long both are good", default: "24h" },
        key,
      },
      run: async (context, given) => (await import("./api-keys/keys-rotate.ts")).rotateKey(context, given),
    }),
    defineCommand({
      name: "revoke",
      about: "end a key now",
      options: { id: { positional: true, required: true, about: "of the key" } },
      run: async (context, given) => (await import("./api-keys/keys-revoke.ts")).revokeKey(context, given),
    }),
  ],
};

const sessions: CommandGroup = {
  name: "sessions",
  about: "work on browser sessions",
  commands: [
    defineCommand({
      name: "list",
      about: 'print the sessions that lie in Redis (`login.sessions: "redis"`)',
      options: { user: { value: "id", about: "this user's alone" } },
      run: async (context, given) =>
        (await import("./sessions/sessions-list.ts")).listSessions(context, given),
    }),
    defineCommand({
      name: "revoke",
      about: "end one session, or all of a user, those in cookies too",
      options: {
        id: { positional: true, about: "of the session" },
        user: { value: "id", about: "every session of this user" },
      },
      run: async (context, given) =>
        (await import("./sessions/sessions-revoke.ts")).revokeSessions(context, given),
    }),
  ],
};

export const commands: readonly CommandGroup[] = [keys, sessions];
