// Hono's streamSSE, each session a set of its streams.
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";
import { announce, HEARTBEAT_MS, HOST } from "./listen.js";

const sessions = new Map();
let sequence = 0;

const app = new Hono();

app.get("/v1/sessions/:session/events", (c) =>
  streamSSE(c, async (stream) => {
    const name = c.req.param("session");
    const streams = sessions.get(name) ?? new Set();
    sessions.set(name, streams.add(stream));
    await new Promise((left) => stream.onAbort(left));
    streams.delete(stream);
    if (streams.size === 0) sessions.delete(name);
  }),
);

app.post("/v1/sessions/:session/events", async (c) => {
  const id = `${Date.now()}-${sequence++}`;
  const event = { id, data: await c.req.text() };
  // Nobody waits for a slow one: each stream has a queue of its own.
  for (const stream of sessions.get(c.req.param("session")) ?? []) stream.writeSSE(event);
  return c.text(id, 201);
});

setInterval(() => {
  for (const streams of sessions.values()) for (const stream of streams) stream.write(":\n\n");
}, HEARTBEAT_MS);

serve({ fetch: app.fetch, hostname: HOST, port: 0 }, announce);
