"use strict";
// node-resque's Queue, at the test's command: each line is [method, ...arguments],
// each answer {result} or {error}, with the error events that came on the way.

const readline = require("node:readline");
const { Queue } = require("node-resque");
const { connection, run, tell } = require("./common");
const jobs = require("./jobs");

run(async () => {
  const queue = new Queue({ connection: connection() }, jobs);
  const errors = [];
  queue.on("error", (error) => errors.push(String(error)));
  await queue.connect();
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [method, ...args] = JSON.parse(line);
    let answer;
    try {
      answer = { result: (await queue[method](...args)) ?? null };
    } catch (error) {
      answer = { error: error.message };
    }
    tell({ ...answer, errors: errors.splice(0) });
  }
  await queue.end();
});
