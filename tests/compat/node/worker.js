"use strict";
// A worker: worker.js QUEUES TIMEOUT, the latter in milliseconds and for all that
// node-resque does now and then: looking for jobs, and saying that it lives.

const { Worker } = require("node-resque");
const { connection, dismissal, run, tell, tellOf } = require("./common");
const jobs = require("./jobs");

run(async () => {
  const [queues, timeout] = process.argv.slice(2);
  const worker = new Worker(
    {
      connection: connection(),
      queues: queues === "*" ? "*" : queues.split(","),
      timeout: Number(timeout),
    },
    jobs,
  );
  tellOf(worker, ["error"]);
  await worker.connect();
  await worker.start();
  tell({ event: "started", values: [worker.name] });
  await dismissal();
  await worker.end();
});
