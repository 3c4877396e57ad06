// The reference server of Durable Streams, in memory.
import { DurableStreamTestServer } from "@durable-streams/server";
import { announce, HOST } from "./listen.js";

const server = new DurableStreamTestServer({ host: HOST, port: 0 });
const { hostname, port } = new URL(await server.start());
announce({ address: hostname, port });
