// Says where a server listens in the way weir does.
export const HOST = "127.0.0.1";

export function announce(address) {
  process.stderr.write(`${JSON.stringify({ message: "listening", public: `${address.address}:${address.port}` })}\n`);
}

// Seconds between two comments on a silent stream. The generator shortens it where it measures idle connections.
export const HEARTBEAT_MS = 1000 * Number(process.env.HEARTBEAT_SECONDS ?? 15);
