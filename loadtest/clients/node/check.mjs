// Plays the checks of loadtest/clients with a client for Node: ioredis, redis or glide. Each line of
// its output is a check.
import fs from "node:fs";

const env = process.env;
const host = env.HOST, port = Number(env.PORT), proto = Number(env.PROTO), user = env.WHO;
const read = (path) => (path ? fs.readFileSync(path) : undefined);
const tlsOf = (ca) => ({ ca: read(ca), cert: read(env.CERT), key: read(env.KEY), servername: "localhost" });
const large = "0123456789\r\n\0é".repeat(20000);

// Each adapter has: open(ca) → connection with call(args), pipeline, transaction, close; subscribe.
const adapters = {
  async ioredis() {
    const { default: Redis } = await import("ioredis");
    const open = async (ca) => {
      const c = new Redis({ host, port, tls: tlsOf(ca), protocol: proto, lazyConnect: true, retryStrategy: null });
      c.on("error", () => {});
      await c.connect();
      return {
        call: (...args) => c.call(...args),
        pipeline: async (cmds) => (await c.pipeline(cmds).exec()).map(([err, v]) => { if (err) throw err; return v; }),
        transaction: async (cmds) => (await c.multi(cmds).exec()).map(([err, v]) => { if (err) throw err; return v; }),
        subscribe: async (channel, f) => { c.on("message", (_, text) => f(text)); await c.subscribe(channel); },
        close: () => c.disconnect(),
      };
    };
    return open;
  },
  async redis() {
    const { createClient } = await import("redis");
    const open = async (ca) => {
      const c = createClient({ socket: { host, port, tls: true, ...tlsOf(ca), reconnectStrategy: false }, RESP: proto });
      c.on("error", () => {});
      await c.connect();
      const all = (chain, cmds) => { for (const args of cmds) chain.addCommand(args.map(String)); return chain; };
      return {
        call: (...args) => c.sendCommand(args.map(String)),
        pipeline: (cmds) => all(c.multi(), cmds).execAsPipeline(),
        transaction: (cmds) => all(c.multi(), cmds).exec(),
        subscribe: (channel, f) => c.subscribe(channel, f),
        close: () => c.destroy(),
      };
    };
    return open;
  },
  async glide() {
    const { GlideClient, Batch, ProtocolVersion, GlideClientConfiguration } = await import("@valkey/valkey-glide");
    const open = async (ca, channel, f) => {
      const c = await GlideClient.createClient({
        addresses: [{ host, port }], useTLS: true, requestTimeout: 20000,
        protocol: proto === 2 ? ProtocolVersion.RESP2 : ProtocolVersion.RESP3,
        advancedConfiguration: { tlsAdvancedConfiguration: { rootCertificates: read(ca) } },
        connectionBackoff: { numberOfRetries: 0, factor: 1, exponentBase: 1 },
        ...(channel && { pubsubSubscriptions: {
          channelsAndPatterns: { [GlideClientConfiguration.PubSubChannelModes.Exact]: new Set([channel]) },
          callback: (m) => f(m.message),
        } }),
      });
      const all = (atomic, cmds) => { const b = new Batch(atomic); for (const args of cmds) b.customCommand(args.map(String)); return c.exec(b, true); };
      return {
        call: (...args) => c.customCommand(args.map(String)),
        pipeline: (cmds) => all(false, cmds),
        transaction: (cmds) => all(true, cmds),
        subscribe: async (channel, f) => { opened.push(await open(ca, channel, f)); },
        close: () => c.close(),
      };
    };
    return open;
  },
};

function same(got, want) {
  if (String(got) !== String(want)) throw new Error(`got ${String(got).slice(0, 80)}, want ${String(want).slice(0, 80)}`);
}

async function until(f) {
  for (const end = Date.now() + 20000; Date.now() < end; await new Promise((r) => setTimeout(r, 1))) if (await f()) return;
  throw new Error("it did not come in 20 s");
}

const open = await adapters[process.argv[2]]();
const opened = [];
const connect = async (ca) => {
  const conn = await open(ca);
  opened.push(conn);
  return conn;
};
const c = await connect(env.CA);
const checks = {
  protocol: async () => {
    const info = await c.call("CLIENT", "INFO");
    if (!String(info).includes(`resp=${proto}`)) throw new Error(String(info));
  },
  user: async () => same(await c.call("ACL", "WHOAMI"), user),
  "large value": async () => {
    await c.call("SET", "node:large", large);
    same(await c.call("GET", "node:large"), large);
  },
  pipeline: async () => {
    await c.call("DEL", "node:n");
    same((await c.pipeline(Array(100).fill(["incr", "node:n"]))).at(-1), 100);
  },
  transaction: async () => same((await c.transaction([["set", "node:t", "v"], ["get", "node:t"]])).at(-1), "v"),
  "pub/sub": async () => {
    const sub = await connect(env.CA);
    let got;
    await sub.subscribe("node:channel", (text) => { got = text; });
    await until(async () => Number(await c.call("PUBLISH", "node:channel", "hello")) === 1);
    await until(() => got !== undefined);
    same(got, "hello");
  },
  blocking: async () => {
    await c.call("DEL", "node:list");
    const blocked = await connect(env.CA);
    const popped = blocked.call("BLPOP", "node:list", "20");
    await until(async () => String(await c.call("CLIENT", "LIST")).includes("cmd=blpop"));
    await c.call("RPUSH", "node:list", "v");
    same(await popped, "node:list,v");
  },
  "another authority is refused": async () => {
    const other = await connect(env.OTHER_CA).catch((err) => err);
    if (!(other instanceof Error)) throw new Error("it connected");
  },
};
if (process.argv[2] === "glide" && proto === 2) delete checks["pub/sub"]; // it has that with RESP3 only
let failed = false;
for (const [name, run] of Object.entries(checks)) {
  try {
    await run();
    fs.writeSync(1, `ok ${name}\n`);
  } catch (err) {
    failed = true;
    fs.writeSync(1, `FAIL ${name}: ${err.message}\n`);
  }
}
for (const conn of opened) conn.close();
process.exit(failed ? 1 : 0);
