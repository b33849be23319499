// Follows one task at a time until it ends, by way of the host.

const LONGEST_WAIT_S = 20; // hosts differ in how long they let a page's call take
const SHORTEST_PAUSE_S = 2;
const LONGEST_PAUSE_S = 60;
const LOOK_MARGIN_S = 30; // a first finished answer may wait for its file

class Following {
  #host;
  #news;
  #trouble;
  /** @type {AbortController | undefined} */
  #current;

  /**
   * @param {Host} host
   * @param {(result: ToolResult) => Facts | null} news takes each answer, and says what it is about.
   * @param {(reason: string) => void} trouble takes why there is no answer; empty: there is again.
   */
  constructor(host, news, trouble) {
    this.#host = host;
    this.#news = news;
    this.#trouble = trouble;
  }

  /**
   * Takes a fresh look at a task, and goes on looking while it has not ended.
   * @param {Facts} facts
   */
  start(facts) {
    this.stop();
    if (!this.#host.capabilities.serverTools) return;
    this.#current = new AbortController();
    void this.#follow(facts, this.#current.signal);
  }

  stop() {
    this.#current?.abort();
  }

  /**
   * @param {Facts} facts
   * @param {AbortSignal} signal
   */
  async #follow(facts, signal) {
    let waitS = 0; // the first look is a fresh one
    let failures = 0;
    for (;;) {
      await visible(signal);
      if (signal.aborted) return;
      const began = performance.now();
      const answer = await this.#look(facts, waitS, signal);
      if (signal.aborted) return;
      if (answer && !RUNNING.includes(answer.task.state) && answer.task.state !== "unknown") return;
      facts = answer ?? facts;
      failures = !answer || answer.task.error ? failures + 1 : 0;
      const longestS = Math.min(LONGEST_WAIT_S, facts.max_wait_s ?? LONGEST_WAIT_S);
      const leastS = waitS || longestS ? SHORTEST_PAUSE_S : LOOK_MARGIN_S;
      const passedS = (performance.now() - began) / 1000;
      const pauseS = failures ? Math.min(2 ** failures, LONGEST_PAUSE_S) : leastS - passedS;
      waitS = failures ? 0 : longestS;
      await pause(pauseS, signal);
    }
  }

  /**
   * @param {Facts} facts
   * @param {number} waitS
   * @param {AbortSignal} signal
   */
  async #look({ task }, waitS, signal) {
    const tool = task.kind === "aleph" ? "aleph_get_task" : "get_task";
    const args = { task_id: anyId(task), wait_seconds: waitS };
    try {
      const result = await this.#host.callTool(tool, args, {
        withinS: waitS + LOOK_MARGIN_S,
        signal,
      });
      if (signal.aborted) return null;
      const facts = this.#news(result);
      this.#trouble(facts ? "" : (result.structuredContent?.error?.reason ?? textOf(result)));
      return facts;
    } catch (error) {
      if (!signal.aborted) this.#trouble(reasonOf(error));
      return null;
    }
  }
}

/** @param {ToolResult} result */
function textOf(result) {
  return (result.content ?? []).map((block) => block.text ?? "").join(" ").trim();
}

/**
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(seconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

/**
 * Resolves while somebody can see the page.
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function visible(signal) {
  return new Promise((resolve) => {
    const check = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", check);
      signal.removeEventListener("abort", check);
      resolve();
    };
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", check);
    check();
  });
}
