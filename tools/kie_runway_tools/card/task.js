// The view of one task.

const REQUEST_ID_MAX_CHARS = 128;

class TaskView {
  #root = element("task");
  #host;
  #stage;
  #question;
  #saved;
  /** @type {Facts | undefined} */
  #facts;
  #announced = "";
  #isSaving = false;

  /**
   * @param {Host} host
   * @param {Question} question
   * @param {(result: ToolResult) => void} saved takes the answer of save_video.
   */
  constructor(host, question, saved) {
    this.#host = host;
    this.#question = question;
    this.#saved = saved;
    this.#stage = new Stage((url) => void this.#open(url));
    for (const name of ["extend", "restyle", "again"]) {
      button(name).addEventListener("click", () => {
        const order = this.#facts && orders(this.#facts)[name];
        if (order) question.ask(order, button(name));
      });
    }
    button("save").addEventListener("click", () => void this.#save());
    button("whole").addEventListener("click", () => this.#unfold());
    new ResizeObserver(() => this.#measure()).observe(element("prompt"));
  }

  get facts() {
    return this.#facts;
  }

  /** @param {Facts} facts */
  show(facts) {
    const isOther = facts.task.request_id !== this.#facts?.task.request_id;
    this.#facts = facts;
    const { task } = facts;
    const words = STATES[task.state] ?? task.state;
    this.#root.dataset.state = task.state;
    if (isOther) {
      this.#question.close();
      element("prompt").classList.remove("unfolded");
      this.trouble("");
    }
    element("state").textContent = words;
    fill(element("word"), KIES_WORDS.includes(task.state) ? task.state : "");
    fill(element("prompt"), task.prompt);
    this.#stage.show(facts);
    this.#tellFailure(task);
    this.#tellDetails(facts);
    this.#offer(facts);
    this.#measure();
    const announcement = `${task.request_id} ${task.state}`;
    if (announcement !== this.#announced) {
      this.#announced = announcement;
      const isFailed = FAILED.includes(task.state);
      const said = [
        `${words}.`,
        isOther && task.deduplicated && DEDUPLICATED,
        isFailed && element("failure").innerText,
      ];
      announce(said.filter(Boolean).join(" "));
    }
  }

  /** @param {string} reason Why there is no news; empty: there is. */
  trouble(reason) {
    const isRunning = RUNNING.includes(this.#facts?.task.state ?? "");
    const odd = isRunning ? this.#facts?.task.error?.reason : "";
    const words = reason && `${reason} Looking again soon, which is free.`;
    fill(element("notice"), words || odd);
  }

  /** @param {Task} task */
  #tellFailure(task) {
    const { state, error, charged, credits, next } = task;
    const isFailed = FAILED.includes(state);
    element("failure").hidden = !isFailed;
    fill(element("notice"), RUNNING.includes(state) ? error?.reason : "");
    fillIn(element("next"), "p", isFailed ? next : "");
    if (!isFailed) return;
    fill(element("reason"), error?.reason);
    fill(element("quotation"), quoted(error?.message));
    fill(element("cost"), charged ? cost(charged, credits) : "");
    fill(element("help"), help(task));
  }

  /** @param {Facts} facts */
  #tellDetails({ task, duration, quality, aspect_ratio }) {
    const isFailed = FAILED.includes(task.state);
    const about = locale.credits(task.credits);
    const details = [
      isFailed ? "" : about && about[0].toUpperCase() + about.slice(1),
      duration ? `${locale.number(duration)} s` : "",
      quality,
      aspect_ratio,
      task.deduplicated ? DEDUPLICATED : "",
    ];
    const items = details.filter(Boolean).map((text) => made("li", "", text));
    element("details").replaceChildren(...items);
    const expiry = element("expiry");
    expiry.hidden = task.state !== "success" || !task.expires_at;
    if (task.expires_at) {
      const isOver = Date.parse(task.expires_at) < Date.now();
      const distance = locale.distance(task.expires_at);
      expiry.replaceChildren(
        isOver ? "KIE kept it until " : "KIE keeps it until ",
        locale.time(task.expires_at, { dateStyle: "long" }),
        distance && ` (${distance})`,
      );
    }
    fillIn(element("file"), "code", task.file);
  }

  /** @param {Facts} facts */
  #offer(facts) {
    const can = Boolean(this.#host.capabilities.serverTools);
    for (const [name, order] of Object.entries(orders(facts))) {
      button(name).hidden = !can || !order;
    }
    const { state, file } = facts.task;
    button("save").hidden = !can || state !== "success" || Boolean(file);
    button("save").disabled = this.#isSaving;
  }

  async #save() {
    if (!this.#facts) return;
    const { task } = this.#facts;
    this.#isSaving = button("save").disabled = true;
    announce("Saving …");
    try {
      const result = await this.#host.callTool("save_video", { task_id: anyId(task) }, { withinS: 120 });
      if (result.isError) this.#complain(result.structuredContent?.error?.reason ?? textOf(result));
      else if (task.request_id === this.#facts?.task.request_id) {
        this.#saved(result);
        announce("Saved.");
      }
    } catch (error) {
      this.#complain(`${reasonOf(error)} Saving once more is free.`);
    } finally {
      this.#isSaving = button("save").disabled = false;
    }
  }

  /** @param {string} words */
  #complain(words) {
    fill(element("notice"), words);
    announce(words);
  }

  /** @param {string} url */
  async #open(url) {
    try {
      const answer = await this.#host.request("ui/open-link", { url });
      if (answer?.isError) throw new Error("refused");
    } catch {
      this.#complain(`The host does not open it. Its address: ${url}`);
    }
  }

  #unfold() {
    element("prompt").classList.toggle("unfolded");
    this.#measure();
  }

  /** Long prompts are folded, and only those. */
  #measure() {
    const prompt = element("prompt");
    const isUnfolded = prompt.classList.contains("unfolded");
    const whole = button("whole");
    whole.hidden = !isUnfolded && prompt.scrollHeight <= prompt.clientHeight + 1;
    whole.ariaExpanded = String(isUnfolded);
    whole.textContent = isUnfolded ? "Less" : "Whole prompt";
  }
}

/**
 * What can be started from a task, by button.
 * @param {Facts} facts
 * @returns {Record<string, Order | undefined>}
 */
function orders({ task, extend, restyle, again }) {
  const hasEnded = !RUNNING.includes(task.state) && task.state !== "unknown";
  return {
    extend: extend && {
      heading: "Extend this video",
      hint: "What happens next.",
      tool: "extend_video",
      arguments: { task_id: anyId(task) },
      credits: extend.credits,
      takesPrompt: true,
    },
    restyle: restyle && {
      heading: "Restyle this video",
      hint: "What to change, and what to keep. Aleph uses the first 5 seconds.",
      tool: "aleph_generate",
      arguments: { video_url: task.video_url },
      credits: restyle.credits,
      takesPrompt: true,
    },
    again: hasEnded && again
      ? {
          heading: "Make it again",
          hint: "The same prompt and settings; another video comes of it.",
          tool: again.tool,
          arguments: { ...again.arguments, request_id: nextTakeOf(task) },
          credits: again.credits,
          takesPrompt: false,
        }
      : undefined,
  };
}

/**
 * The request_id of the take after a task's: the same however often, and from wherever, it is
 * asked for. A third take is another one of the second.
 * @param {Task} task
 */
function nextTakeOf(task) {
  const [, number, first] = /^again-(\d+)-(.*)$/s.exec(task.request_id) ?? [];
  const name = first ? `again-${Number(number) + 1}-${first}` : `again-1-${anyId(task)}`;
  return name.slice(0, REQUEST_ID_MAX_CHARS);
}
