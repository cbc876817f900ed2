"use strict";
// Two workers in one process: multiworker.js QUEUES TIMEOUT, as for worker.js.

const { MultiWorker } = require("node-resque");
const { connection, dismissal, run, tell, tellOf } = require("./common");
const jobs = require("./jobs");

run(async () => {
  const [queues, timeout] = process.argv.slice(2);
  const workers = new MultiWorker(
    {
      connection: connection(),
      queues: queues.split(","),
      timeout: Number(timeout),
      checkTimeout: Number(timeout),
      minTaskProcessors: 2,
      maxTaskProcessors: 2,
    },
    jobs,
  );
  tellOf(workers, ["error"]);
  workers.start();
  tell({ event: "started", values: [`${workers.name}:${process.pid}`] });
  await dismissal();
  await workers.end();
});
