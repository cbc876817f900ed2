"use strict";
// A scheduler: scheduler.js STUCK, after how many milliseconds without a ping it
// takes a worker for dead.

const { Scheduler } = require("node-resque");
const { connection, dismissal, run, tell, tellOf } = require("./common");
const jobs = require("./jobs");

run(async () => {
  const [stuckWorkerTimeout] = process.argv.slice(2).map(Number);
  const scheduler = new Scheduler(
    { connection: connection(), timeout: 50, stuckWorkerTimeout },
    jobs,
  );
  tellOf(scheduler, ["error", "poll", "transferredJob", "cleanStuckWorker"]);
  await scheduler.connect();
  await scheduler.start();
  tell({ event: "started", values: [scheduler.name] });
  await dismissal();
  await scheduler.end();
});
