// The question before anything is spent, and the start that follows it.

const START_WITHIN_S = 60;
const PROMPT_MAX_CHARS = 1800;

/**
 * What would be started.
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
  /** @type {Order | undefined} */
  #order;
  /** @type {HTMLElement | undefined} */
  #opener;
  #requestId = "";
  /** The prompt that the request_id stands for, once it was sent. */
  #sent = "";
  /** Starts whose answers got lost, by what they were: they keep their request_id. */
  #lost = new Map();

  /**
   * @param {Host} host
   * @param {(result: ToolResult, order: Order, args: Dict) => boolean} started
   *   takes an answer, and says whether there is a task in it.
   */
  constructor(host, started) {
    this.#host = host;
    this.#started = started;
    this.#start.addEventListener("click", () => void this.#send());
    this.#cancel.addEventListener("click", () => this.close());
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.#cancel.disabled) this.close();
    });
  }

  /**
   * @param {Order} order
   * @param {HTMLElement} opener gets the focus back.
   */
  ask(order, opener) {
    this.#order = order;
    this.#opener = opener;
    const lost = this.#lost.get(this.#key());
    this.#requestId = lost?.requestId ?? newRequestId();
    this.#sent = lost?.prompt ?? "";
    this.#prompt.value = this.#sent;
    this.#prompt.readOnly = Boolean(lost);
    element("question-heading").textContent = order.heading;
    element("question-field").hidden = !order.takesPrompt;
    element("question-hint").textContent = order.hint;
    this.#start.textContent = order.credits
      ? `Start for ${locale.credits(order.credits)}`
      : "Start at KIE’s price";
    this.#complain(lost ? LOST : "");
    this.#form.hidden = false;
    element("actions").hidden = true;
    (order.takesPrompt ? this.#prompt : this.#start).focus();
  }

  close() {
    if (this.#form.hidden) return;
    this.#form.hidden = true;
    element("actions").hidden = false;
    this.#opener?.focus();
  }

  async #send() {
    const order = this.#order;
    if (!order || this.#start.disabled) return;
    const prompt = order.takesPrompt ? this.#prompt.value : "";
    if (order.takesPrompt && (!prompt.trim() || [...prompt].length > PROMPT_MAX_CHARS)) {
      this.#complain(`Write a prompt of 1 to ${locale.number(PROMPT_MAX_CHARS)} characters.`);
      this.#prompt.focus();
      return;
    }
    // Another prompt is another video; the same one never costs twice.
    if (this.#sent && prompt !== this.#sent) this.#requestId = newRequestId();
    this.#sent = prompt;
    /** @type {Dict} */
    const args = { ...order.arguments, request_id: this.#requestId };
    if (order.takesPrompt) args.prompt = prompt;
    this.#busy(true);
    try {
      const result = await this.#host.callTool(order.tool, args, { withinS: START_WITHIN_S });
      this.#answered(result, order, args);
    } catch (error) {
      this.#lose(`${LOST} The host said: “${reasonOf(error)}”`);
    } finally {
      this.#busy(false);
    }
  }

  /**
   * @param {ToolResult} result
   * @param {Order} order
   * @param {Dict} args
   */
  #answered(result, order, args) {
    const key = this.#key();
    if (this.#started(result, order, args)) {
      this.#lost.delete(key);
      return;
    }
    /** @type {TaskError | undefined} */
    const error = result.structuredContent?.error;
    const said = [error?.reason ?? textOf(result), cost(error?.charged), quoted(error?.message)];
    const words = said.filter(Boolean).join(" ");
    if (error?.charged === "no") {
      this.#lost.delete(key);
      this.#prompt.readOnly = false;
      this.#complain(words);
    } else this.#lose(words);
  }

  /** @param {string} words */
  #lose(words) {
    this.#lost.set(this.#key(), { requestId: this.#requestId, prompt: this.#sent });
    this.#prompt.readOnly = true;
    this.#complain(words);
  }

  /** @param {boolean} isBusy */
  #busy(isBusy) {
    for (const each of [this.#start, this.#cancel, button("back")]) each.disabled = isBusy;
    this.#form.ariaBusy = String(isBusy);
    if (isBusy) this.#complain("");
    if (isBusy) announce("Starting …");
  }

  /** @param {string} words */
  #complain(words) {
    fill(element("question-problem"), words);
    if (words) announce(words);
  }

  #key() {
    return JSON.stringify([this.#order?.tool, this.#order?.arguments]);
  }
}

const LOST =
  "No answer came, so it may have been started. Starting it once more is free if it was: " +
  "it leads to the same video.";

function newRequestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `card-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
