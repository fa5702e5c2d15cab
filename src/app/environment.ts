// Reads the environment for this sidecar: the settings, and the secrets that the built-in plugins declare.
import { ConfigReader } from "../config/config.ts";
import { registry } from "./registry.ts";

const reader = new ConfigReader(registry);

/** Every setting. */
export const settingsTable = reader.table;
export const loadConfig: ConfigReader["load"] = (...given) => reader.load(...given);
export const describeConfig: ConfigReader["describe"] = (...given) => reader.describe(...given);
