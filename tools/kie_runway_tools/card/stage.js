// Where the video is, or will be: progress, then the player.

const ALMOST = 0.95; // only the end is the end
const CONTROLS_PX = 80;
const AT_MOST_S = 600; // most videos take no longer

class Stage {
  #root = element("stage");
  #openLink;
  /** What is on stage, so that nothing is built anew while it plays. */
  #shown = "";
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #clock;

  /** @param {(url: string) => void} openLink */
  constructor(openLink) {
    this.#openLink = openLink;
  }

  /** @param {Facts} facts */
  show(facts) {
    const { state, video_url, thumbnail_url, request_id } = facts.task;
    const isRunning = RUNNING.includes(state);
    const url = state === "success" && isWeb(video_url) ? video_url : "";
    this.#root.hidden = !isRunning && !url;
    this.#root.style.setProperty("--shape", shape(facts.aspect_ratio));
    const key = url || (isRunning ? `running ${request_id}` : "");
    if (isRunning) this.#run(facts);
    else this.#stop();
    if (key === this.#shown) return;
    this.#shown = key;
    if (url) this.#play(url, isWeb(thumbnail_url) ? thumbnail_url : "");
    else if (!isRunning) this.#root.replaceChildren();
  }

  /** @param {Facts} facts */
  #run(facts) {
    this.#stop();
    if (this.#shown !== `running ${facts.task.request_id}`) {
      const bar = made("div", "progress");
      bar.role = "progressbar";
      bar.ariaLabel = "Progress";
      bar.ariaValueMin = "0";
      bar.ariaValueMax = "100";
      bar.append(made("div"));
      this.#root.replaceChildren(made("p", "elapsed"), made("p", "usual"), bar);
      this.#root.className = "stage waiting";
    }
    const tick = () => this.#tick(facts);
    this.#clock = setInterval(tick, 1000);
    tick();
  }

  /** @param {Facts} facts */
  #tick({ since, usual_s, usual_is_learned }) {
    const passedS = (performance.now() - since) / 1000;
    const [elapsed, usual, bar] = /** @type {HTMLElement[]} */ ([...this.#root.children]);
    const usualS = usual_is_learned ? usual_s : undefined;
    const about = usualS ? `usually about ${locale.duration(usualS)}` : "mostly 1 to 10 min";
    const isLate = passedS > (usualS ?? AT_MOST_S);
    elapsed.textContent = locale.duration(passedS);
    usual.textContent = isLate ? `longer than usual (${about})` : about;
    const inner = /** @type {HTMLElement} */ (bar.firstElementChild);
    bar.ariaValueText = `${elapsed.textContent}, ${usual.textContent}`;
    if (!usualS) return; // nobody knows how far it is
    const percent = Math.floor(100 * Math.min(passedS / usualS, ALMOST));
    bar.ariaValueNow = String(percent);
    inner.style.width = `${percent}%`;
  }

  #stop() {
    clearInterval(this.#clock);
  }

  /**
   * @param {string} url
   * @param {string} poster
   */
  #play(url, poster) {
    const video = made("video");
    video.controls = true;
    video.playsInline = true;
    video.preload = "metadata";
    if (poster) video.poster = poster;
    video.ariaLabel = "The video";
    video.addEventListener("loadedmetadata", () => {
      const { videoWidth, videoHeight } = video;
      if (videoWidth) this.#root.style.setProperty("--shape", `${videoWidth} / ${videoHeight}`);
    });
    // Some browsers leave a click on the picture to the page, where it lies in a sandboxed frame.
    video.addEventListener("click", ({ offsetY }) => {
      if (offsetY > video.clientHeight - CONTROLS_PX) return;
      setTimeout(() => video.played.length || video.play().catch(() => {}));
    });
    video.addEventListener("error", () => {
      if (video.isConnected) this.#offer(url, poster);
    });
    video.src = url;
    this.#root.className = "stage";
    this.#root.replaceChildren(video);
  }

  /**
   * The video cannot play here: the host allows no connection to it, or it is gone.
   * @param {string} url
   * @param {string} poster
   */
  #offer(url, poster) {
    const open = made("button", "strong", "Open video");
    open.type = "button";
    open.addEventListener("click", () => this.#openLink(url));
    const words = made("div", "offer");
    words.append(made("p", "", "It cannot be played here."), open);
    this.#root.className = "stage still";
    this.#root.replaceChildren(words);
    if (!poster) return;
    const image = made("img");
    image.alt = "";
    image.addEventListener("error", () => image.remove());
    image.src = poster;
    this.#root.prepend(image);
  }
}

/**
 * Whether an address may be loaded or opened: KIE's words are no reason to run anything.
 * @param {string | undefined} url
 * @returns {url is string}
 */
function isWeb(url) {
  return /^https?:\/\//.test(url ?? "");
}

/** @param {string | undefined} ratio such as 16:9 */
function shape(ratio) {
  return /^\d+:\d+$/.test(ratio ?? "") ? String(ratio).replace(":", " / ") : "16 / 9";
}
