// The settings of the sources from which plugins of policies may come.
import { parseHostPatterns, parsePath } from "./formats.ts";
import { optional, setting, type Setting } from "./setting.ts";

export const pluginSourceSettings = {
  pluginDir: optional(
    "OUTRIGGER_PLUGIN_DIR",
    parsePath,
    "Directory of extensions' packages, which may be given all rights: file: reads nothing outside of it; unset: any absolute path",
  ),
  pluginHosts: setting(
    "OUTRIGGER_PLUGIN_HOSTS",
    "",
    parseHostPatterns,
    "Hosts that https:// and oci:// packages may come from: host:port and *.suffix:port, comma-separated; unset: none",
  ),
} as const satisfies Record<string, Setting<unknown>>;
