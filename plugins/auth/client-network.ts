// Decides which addresses count as one client: an IPv4 address alone, or a /64 of IPv6, as one client has all of a /64.
import { networkReader } from "../../src/language/network.ts";

export const clientNetwork = networkReader(64);
