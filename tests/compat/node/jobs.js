"use strict";
// The jobs as node-resque runs them; the same ones for our workers are in jobs.py.

async function note(worker, list, args) {
  const entry = JSON.stringify({ by: "node", worker: worker.name, args });
  await worker.connection.redis.rpush(list, entry);
}

module.exports = {
  /** Tell that it ran, and with what. */
  Record: {
    perform: async function (...args) {
      await note(this, "ran", args);
      return "done";
    },
  },

  /** Tell that it runs, and continue until the test releases it. */
  Hold: {
    perform: async function (...args) {
      const own = this.connection.redis.duplicate();
      await note(this, "held", args);
      const released = await own.blpop("release", 60);
      own.disconnect();
      if (!released) throw new Error("nobody released this job");
      await note(this, "ran", args);
    },
  },

  Fail: {
    perform: async function (...args) {
      await note(this, "ran", args);
      throw new TypeError(String(args[0]));
    },
  },

  /** Fail the first time. */
  FailOnce: {
    perform: async function (...args) {
      if (await this.connection.redis.setnx("failed-once", "yes")) {
        throw new RangeError(String(args[0]));
      }
      await note(this, "ran", args);
    },
  },
};
