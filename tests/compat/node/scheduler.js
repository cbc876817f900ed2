"use strict";
// A scheduler: scheduler.js STUCK PAUSE, after how many milliseconds without a ping it
// takes a worker for dead, and how many pass between two looks.

const { Scheduler } = require("node-resque");
const { connection, dismissal, run, tell, tellOf } = require("./common");
const jobs = require("./jobs");

run(async () => {
  const [stuckWorkerTimeout, timeout] = process.argv.slice(2).map(Number);
  const scheduler = new Scheduler(
    { connection: connection(), timeout, stuckWorkerTimeout },
    jobs,
  );
  tellOf(scheduler, ["error", "poll", "transferredJob", "cleanStuckWorker"]);
  await scheduler.connect();
  await scheduler.start();
  tell({ event: "started", values: [scheduler.name] });
  await dismissal();
  await scheduler.end();
});
