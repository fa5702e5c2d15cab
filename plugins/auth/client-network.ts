// Who counts as one client where many have to share: an IPv4 address, or a /64 of IPv6, which is whose one address of it is.
import { networkReader } from "../../src/language/network.ts";

export const clientNetwork = networkReader(64);
