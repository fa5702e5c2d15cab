// The pooled transport against the behavioural suite of its interface.
import { createPooledTransport } from "../../src/upstream/pooled-transport.ts";
import { describeTransport } from "../support/transport-suite.ts";

describeTransport("the pooled transport", createPooledTransport);
