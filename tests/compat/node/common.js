"use strict";
// What the programs share: where Redis is, and talking to the test.

const { once } = require("node:events");

/** Return node-resque's options for the server of the test. */
function connection() {
  const url = new URL(process.env.COMPAT_REDIS_URL);
  return {
    host: url.hostname,
    port: Number(url.port),
    database: Number(url.pathname.slice(1) || 0),
    options: url.password ? { password: decodeURIComponent(url.password) } : {},
  };
}

/** Tell the test one thing, as a line of JSON. */
function tell(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Tell the test of these events of a worker or a scheduler. */
function tellOf(emitter, names) {
  for (const name of names) {
    emitter.on(name, (...values) =>
      tell({ event: name, values: values.map((v) => (v instanceof Error ? v.message : v)) }),
    );
  }
}

/** Wait until the test closes our standard input, as it also does by dying. */
async function dismissal() {
  process.stdin.resume();
  await once(process.stdin, "end");
}

/** Run a program to its end; an error ends it at once, and badly. */
function run(main) {
  main().then(
    () => process.exit(0),
    (error) => {
      tell({ event: "error", values: [error.stack] });
      process.exit(1);
    },
  );
}

module.exports = { connection, dismissal, run, tell, tellOf };
