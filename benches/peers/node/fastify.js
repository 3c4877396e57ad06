// Fastify on a Redis stream that ioredis reads by a consumer group of its own. REDIS_URL and STREAM say where, MAXLEN how
// long it may be.
import Fastify from "fastify";
import { Redis } from "ioredis";
import { announce, HEARTBEAT_MS, HOST } from "./listen.js";

const { REDIS_URL, STREAM, MAXLEN } = process.env;
const GROUP = `fastify-${process.pid}`;
const CONSUMER = "reader";

const sessions = new Map();
const redis = new Redis(REDIS_URL);
// A read that blocks needs a connection of its own.
const blocking = new Redis(REDIS_URL);

const app = Fastify();
app.addContentTypeParser("*", { parseAs: "string" }, (request, body, done) => done(null, body));

app.get("/v1/sessions/:session/events", (request, reply) => {
  reply.hijack();
  const { session } = request.params;
  const streams = sessions.get(session) ?? new Set();
  sessions.set(session, streams.add(reply.raw));
  request.raw.on("close", () => {
    streams.delete(reply.raw);
    if (streams.size === 0) sessions.delete(session);
  });
  reply.raw.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  reply.raw.flushHeaders();
});

app.post("/v1/sessions/:session/events", async (request, reply) => {
  const { session } = request.params;
  const id = await redis.xadd(STREAM, "MAXLEN", "~", MAXLEN, "*", "session", session, "data", request.body);
  return reply.code(201).send(id);
});

function deliver([id, fields]) {
  const entry = {};
  for (let i = 0; i < fields.length; i += 2) entry[fields[i]] = fields[i + 1];
  const frame = `id: ${id}\ndata: ${entry.data}\n\n`;
  for (const stream of sessions.get(entry.session) ?? []) stream.write(frame);
}

async function read() {
  for (;;) {
    const reply = await blocking.xreadgroup(
      "GROUP", GROUP, CONSUMER, "COUNT", 200, "BLOCK", 5000, "STREAMS", STREAM, ">",
    );
    for (const [, entries] of reply ?? []) {
      entries.forEach(deliver);
      redis.xack(STREAM, GROUP, ...entries.map(([id]) => id)).catch(fail);
    }
  }
}

// A reader that died must not leave a server that looks well.
function fail(error) {
  console.error(error);
  process.exit(1);
}

setInterval(() => {
  for (const streams of sessions.values()) for (const stream of streams) stream.write(":\n\n");
}, HEARTBEAT_MS);

await redis.xgroup("CREATE", STREAM, GROUP, "$", "MKSTREAM");
read().catch(fail);
await app.listen({ host: HOST, port: 0 });
announce(app.server.address());
