// The view of several tasks.

const NAME_CHARS = 120;

class Gallery {
  #tiles = element("tiles");
  #more = button("more");
  #host;
  #opened;
  /** @type {Dict} */
  #input = {};
  /** The tiles by request_id. @type {Map<string, HTMLElement>} */
  #items = new Map();
  /** The request_id of the tile that was opened last. */
  #last = "";

  /**
   * @param {Host} host
   * @param {(facts: Facts) => void} opened takes the task that the user picks.
   */
  constructor(host, opened) {
    this.#host = host;
    this.#opened = opened;
    this.#more.addEventListener("click", () => void this.#next());
  }

  /**
   * @param {{ facts: Facts[], cursor?: string }} page
   * @param {Dict} input The arguments of the list.
   */
  show(page, input) {
    this.#input = input;
    this.#tiles.replaceChildren();
    this.#items.clear();
    this.#add(page);
    const count = page.facts.length;
    element("gallery-heading").textContent = count ? "Videos" : "No videos yet";
    const videos = count === 1 ? "video" : "videos";
    announce(count ? `${locale.number(count)} ${videos}` : "No videos yet");
  }

  /**
   * Takes news of a task; one that was not there is the newest.
   * @param {Facts} facts
   */
  take(facts) {
    if (!this.#items.size) return; // this card is about one task
    const old = this.#items.get(facts.task.request_id);
    const item = this.#item(facts);
    if (old) old.replaceWith(item);
    else this.#tiles.prepend(item);
  }

  /** Puts the focus back to where the user left. */
  focus() {
    const tile = this.#items.get(this.#last)?.querySelector("button");
    (tile ?? element("gallery-heading")).focus();
  }

  /** @param {{ facts: Facts[], cursor?: string }} page */
  #add({ facts, cursor }) {
    this.#tiles.append(...facts.map((it) => this.#item(it)));
    this.#more.hidden = !cursor || !this.#host.capabilities.serverTools;
    this.#more.value = cursor ?? "";
  }

  async #next() {
    this.#more.disabled = true;
    const before = this.#tiles.childElementCount;
    fill(element("gallery-problem"), "");
    try {
      const args = { ...this.#input, cursor: this.#more.value };
      const page = listOf(await this.#host.callTool("list_tasks", args));
      if (!page) throw new Error("The list could not be read.");
      this.#add(page);
      announce(`${locale.number(page.facts.length)} more`);
      this.#tiles.children[before]?.querySelector("button")?.focus();
    } catch (error) {
      fill(element("gallery-problem"), reasonOf(error));
      announce(reasonOf(error));
    }
    this.#more.disabled = false;
  }

  /** @param {Facts} facts */
  #item(facts) {
    const { task } = facts;
    const name = task.prompt || anyId(task);
    const tile = made("button", "tile");
    tile.type = "button";
    tile.addEventListener("click", () => {
      this.#last = task.request_id;
      this.#opened(facts);
    });
    const words = STATES[task.state] ?? task.state;
    const picture = made("span", "picture", words);
    picture.ariaHidden = "true"; // the button is named by its prompt, and described by the rest
    const about = made("p", "about");
    if (isWeb(task.thumbnail_url)) {
      const image = made("img");
      image.alt = "";
      image.loading = "lazy";
      image.addEventListener("error", () => image.remove());
      image.src = task.thumbnail_url;
      picture.append(image);
      about.append(words, " · ");
    }
    tile.ariaDescription = words;
    if (task.created_at) about.append(locale.time(task.created_at, { dateStyle: "medium" }));
    const short = name.length > NAME_CHARS ? `${name.slice(0, NAME_CHARS - 1)}…` : name;
    tile.append(picture, made("span", "name", short));
    const item = made("li");
    item.append(tile, about);
    this.#items.set(task.request_id, item);
    return item;
  }
}
