// The question before anything is spent, and the start that follows it.

const START_WITHIN_S = 60;
const PROMPT_MAX_CHARS = 1800;

/**
 * What would be started. The same order with the same prompt leads to the same video, by the
 * server's memory: nothing that costs depends on what this page remembers.
 * @typedef {object} Order
 * @property {string} heading
 * @property {string} hint
 * @property {string} tool
 * @property {Dict} arguments
 * @property {number} [credits]
 * @property {boolean} takesPrompt Whether the user has to write one.
 */

class Question {
  #form = element("question");
  #prompt = /** @type {HTMLTextAreaElement} */ (element("question-prompt"));
  #start = button("question-start");
  #cancel = button("question-cancel");
  #host;
  #started;
  #lost;
  /** @type {Order | undefined} */
  #order;
  /** @type {HTMLElement | undefined} */
  #opener;
  #isBusy = false;
  /** Whether a start of the open question may have succeeded unseen. */
  #isLost = false;
  /** The prompts of starts that may have been charged, by order; for the hint alone. */
  #doubtful = new Map();

  /**
   * @param {Host} host
   * @param {(result: ToolResult, order: Order, args: Dict) => Facts | null} started
   *   takes an answer, and returns the task in it.
   * @param {(order: Order, args: Dict) => void} lost is told of each start without a clear answer.
   */
  constructor(host, started, lost) {
    this.#host = host;
    this.#started = started;
    this.#lost = lost;
    this.#start.addEventListener("click", () => void this.#send());
    this.#cancel.addEventListener("click", () => this.close());
    addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
  }

  /**
   * @param {Order} order
   * @param {HTMLElement} opener gets the focus back.
   */
  ask(order, opener) {
    if (this.#isBusy) return;
    this.#order = order;
    this.#opener = opener;
    this.#isLost = false;
    const doubtful = this.#doubtful.get(keyOf(order));
    this.#prompt.value = doubtful ?? "";
    this.#prompt.readOnly = false;
    element("question-heading").textContent = order.heading;
    element("question-field").hidden = !order.takesPrompt;
    const warning = order.takesPrompt ? DOUBTFUL_PROMPT : DOUBTFUL;
    element("question-hint").textContent =
      doubtful === undefined ? order.hint : `${order.hint} ${warning}`;
    this.#start.textContent = order.credits
      ? `Start for ${locale.credits(order.credits)}`
      : "Start at KIE’s price";
    this.#complain("");
    this.#form.hidden = false;
    element("actions").hidden = true;
    (order.takesPrompt ? this.#prompt : this.#start).focus();
  }

  /** Leaves it unanswered; a start that is under way is waited for. */
  close() {
    if (this.#form.hidden || this.#isBusy) return;
    this.#form.hidden = true;
    element("actions").hidden = false;
    this.#opener?.focus();
  }

  async #send() {
    const order = this.#order;
    if (!order || this.#isBusy) return;
    const prompt = this.#prompt.value;
    if (order.takesPrompt && (!prompt.trim() || [...prompt].length > PROMPT_MAX_CHARS)) {
      this.#complain(`Write a prompt of 1 to ${locale.number(PROMPT_MAX_CHARS)} characters.`);
      this.#prompt.focus();
      return;
    }
    const args = { ...order.arguments, ...(order.takesPrompt && { prompt }) };
    this.#busy(true);
    try {
      const result = await this.#host.callTool(order.tool, args, { withinS: START_WITHIN_S });
      this.#busy(false);
      this.#answered(result, order, args);
    } catch (error) {
      this.#busy(false);
      this.#lose(order, args, `The host said: “${reasonOf(error)}”`);
    }
  }

  /**
   * @param {ToolResult} result
   * @param {Order} order
   * @param {Dict} args
   */
  #answered(result, order, args) {
    const facts = this.#started(result, order, args);
    if (facts) {
      if (facts.task.state === "unknown") this.#doubt(order, args);
      else this.#doubtful.delete(keyOf(order));
      return;
    }
    /** @type {TaskError | undefined} */
    const error = result.structuredContent?.error;
    const said = [error?.reason ?? textOf(result), cost(error?.charged), quoted(error?.message)];
    const words = said.filter(Boolean).join(" ");
    if (error?.charged !== "no") this.#lose(order, args, words);
    else this.#complain(this.#isLost ? `${words} ${EARLIER}` : words);
  }

  /**
   * Another prompt would be another video now.
   * @param {Order} order
   * @param {Dict} args
   * @param {string} words
   */
  #lose(order, args, words) {
    this.#isLost = this.#prompt.readOnly = true;
    this.#doubt(order, args);
    this.#complain(`${LOST} ${words}`);
    this.#lost(order, args);
  }

  /**
   * @param {Order} order
   * @param {Dict} args
   */
  #doubt(order, args) {
    this.#doubtful.set(keyOf(order), args.prompt ?? "");
  }

  /** @param {boolean} isBusy */
  #busy(isBusy) {
    this.#isBusy = isBusy;
    for (const each of [this.#start, this.#cancel, button("back")]) each.disabled = isBusy;
    this.#prompt.readOnly = isBusy || this.#isLost;
    this.#form.ariaBusy = String(isBusy);
    if (isBusy) this.#complain("");
    if (isBusy) announce("Starting …");
  }

  /** @param {string} words */
  #complain(words) {
    fill(element("question-problem"), words);
    if (words) announce(words);
  }
}

const LOST =
  "No clear answer came, so it may have been started. Starting it once more within 10 minutes " +
  "is free if it was: it leads to the same video.";
const EARLIER =
  "The start before may have succeeded all the same; starting it once more within 10 minutes " +
  "leads to the same video.";
const DOUBTFUL = "The last start may have been charged; starting it once more leads to it.";
const DOUBTFUL_PROMPT =
  "The last start may have been charged; within 10 minutes, the same prompt leads to it.";

/** @param {Order} order */
function keyOf(order) {
  return JSON.stringify([order.tool, order.arguments]);
}
