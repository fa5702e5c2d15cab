// The settings that limit what clients may send, take and cost.
import { integer } from "./formats.ts";
import { setting, type Setting } from "./setting.ts";

const hour = 3_600_000;
const gibibyte = 1_073_741_824;

export const clientSettings = {
  maxBodyBytes: setting(
    "OUTRIGGER_MAX_BODY_BYTES",
    "0",
    integer(0, 1024 * gibibyte),
    "Largest request body; 0 = unlimited",
  ),
  maxHeaderBytes: setting(
    "OUTRIGGER_MAX_HEADER_BYTES",
    "16384",
    integer(1024, 1_048_576),
    "Largest head of a request",
  ),
  http2Streams: setting(
    "OUTRIGGER_HTTP2_STREAMS",
    "128",
    integer(0, 10_000),
    "Most requests of one HTTP/2 connection of a client at a time; 0 = HTTP/2 is not spoken",
  ),
  headerTimeoutMs: setting(
    "OUTRIGGER_HEADER_TIMEOUT_MS",
    "10000",
    integer(1, hour),
    "Longest time for the head of a request to arrive",
  ),
  clientStallMs: setting(
    "OUTRIGGER_CLIENT_STALL_MS",
    "30000",
    integer(1, hour),
    "Longest pause of a client that still has to send its body; least pause after which one that reads nothing is cut off",
  ),
  minBytesPerSecond: setting(
    "OUTRIGGER_MIN_BYTES_PER_SECOND",
    "240",
    integer(0, gibibyte),
    "Lowest rate at which a client may send its body (over 10 s) or read the answer (over 64 KiB at that rate); 0 = any",
  ),
  bufferBytes: setting(
    "OUTRIGGER_BUFFER_BYTES",
    "67108864",
    integer(0, 64 * gibibyte),
    "Most bytes of bodies that wait in memory for slow clients, over all connections",
  ),
  clientShare: setting(
    "OUTRIGGER_CLIENT_SHARE",
    "80",
    integer(51, 100),
    "Percent of connections, upstream connections and upgrades, their queue and buffered bytes that one client address may have",
  ),
  keepAliveMs: setting(
    "OUTRIGGER_KEEPALIVE_MS",
    "65000",
    integer(0, hour),
    "How long an idle connection of a client is kept",
  ),
  maxConnections: setting(
    "OUTRIGGER_MAX_CONNECTIONS",
    "10000",
    integer(1, 1_000_000),
    "Most connections of clients at a time",
  ),
} as const satisfies Record<string, Setting<unknown>>;
