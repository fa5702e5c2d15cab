// Every implementation of ServerStream against the behavioural suite of the interface.
import { openHttp1, openHttp1Net } from "../support/stream/http1.ts";
import { openHttp2 } from "../support/stream/http2.ts";
import { openMemory } from "../support/stream/memory.ts";
import { describeServerStream } from "../support/stream-suite.ts";

describeServerStream("a stream of HTTP/1.1 over node:http", openHttp1);
describeServerStream("a stream of HTTP/1.1 over node:net", openHttp1Net);
describeServerStream("a stream of HTTP/2 over node:http2", openHttp2);
// For tests that need callbacks in any order.
describeServerStream("a stream in memory", openMemory);
