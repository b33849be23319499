// The page: what the host sends, which view is shown, and the way back.

/** @type {Dict} */
let input = {};
/** The way back: tasks, and null for the gallery. @type {(Facts | null)[]} */
const trail = [];
/** The result that was shown; a host may deliver it twice. */
let delivered = "";
/** The tasks that the model's call or the user's here have made, by request_id. */
const own = new Set();
/** What the model is told beyond results; each update replaces the last. @type {string[]} */
const notes = [];
/** Of one task at a time. @type {Content[]} */
let pictures = [];

const host = new Host({
  "ui/notifications/tool-input": (params) => takeInput(params.arguments),
  "ui/notifications/tool-input-partial": (params) => showPrompt(params.arguments),
  "ui/notifications/tool-result": (params) => takeResult(params),
  "ui/notifications/tool-cancelled": () => showCancelled(),
  "ui/notifications/host-context-changed": (params) => {
    Object.assign(host.context, params);
    dress(params);
  },
  "ui/resource-teardown": () => following.stop(),
});
const following = new Following(
  host,
  (result) => takeNews(result),
  (reason) => view.trouble(reason),
);
const question = new Question(
  host,
  (result, order, args) => takeStart(result, order, args),
  (order, args) => tellOfLoss(order, args),
);
const view = new TaskView(host, question, (result) => void takeNews(result));
const gallery = new Gallery(host, (facts) => {
  trail.push(null);
  openTask(facts);
  element("state").focus();
});

button("back").addEventListener("click", () => goBack());
const sizes = new ResizeObserver(() => {
  const height = Math.ceil(document.documentElement.getBoundingClientRect().height);
  host.notify("ui/notifications/size-changed", { height });
});
host.connect().then(
  () => {
    dress(host.context);
    sizes.observe(document.documentElement);
  },
  () => {}, // nobody is there
);

/** @param {"starting" | "task" | "gallery" | "error"} name */
function showView(name) {
  element("main").dataset.view = name;
  element("starting").hidden = name !== "starting";
  element("gallery").hidden = name !== "gallery";
  element("task").hidden = name !== "task" && name !== "error";
  button("back").hidden = trail.length === 0;
}

/** @param {Dict | undefined} args */
function takeInput(args) {
  input = args ?? {};
  showPrompt(input);
}

/** @param {Dict} [args] perhaps cut off in the middle */
function showPrompt({ prompt } = {}) {
  fill(element("starting-prompt"), typeof prompt === "string" ? prompt : "");
}

/** @param {ToolResult} result */
function takeResult(result) {
  const received = JSON.stringify(result);
  if (received === delivered) return;
  delivered = received;
  const facts = factsOf(result, input);
  const list = listOf(result);
  trail.length = 0;
  following.stop();
  if (facts) {
    own.add(facts.task.request_id);
    openTask(facts);
  } else if (list) {
    showView("gallery");
    gallery.show(list, input);
  } else showError(result);
}

/** @param {Facts} facts */
function openTask(facts) {
  showView("task");
  view.show(facts);
  following.start(facts); // also where it has ended: an old conversation shows old results
}

/**
 * Takes an answer about the task that is shown.
 * @param {ToolResult} result
 */
function takeNews(result) {
  const before = view.facts;
  const facts = factsOf(result, before?.input);
  if (!facts || !before) return null;
  facts.task.prompt ??= before.task.prompt;
  facts.task.created_at ??= before.task.created_at;
  facts.task.deduplicated ??= before.task.deduplicated;
  if (!result._meta?.[MARK]) facts.since = Math.min(facts.since, before.since);
  view.show(facts);
  gallery.take(facts);
  if (own.has(facts.task.request_id)) handOn(result);
  return facts;
}

/**
 * @param {ToolResult} result
 * @param {Order} order
 * @param {Dict} args
 */
function takeStart(result, order, args) {
  const facts = factsOf(result, args);
  if (!facts) return null;
  question.close();
  own.add(facts.task.request_id);
  if (view.facts) trail.push(view.facts);
  gallery.take(facts);
  openTask(facts);
  element("state").focus();
  const { state, credits, deduplicated } = facts.task;
  const price = credits ? `, ${locale.credits(credits)}` : "";
  tellModel(
    `In the video card, the user started ${order.tool}: task ${anyId(facts.task)} ` +
      `(request_id ${facts.task.request_id}), now ${state}${deduplicated ? "" : price}. ` +
      `${deduplicated ? `${DEDUPLICATED} ` : ""}Prompt: ${JSON.stringify(args.prompt ?? "")}`,
  );
  return facts;
}

/**
 * @param {Order} order
 * @param {Dict} args
 */
function tellOfLoss(order, args) {
  tellModel(
    `In the video card, the user called ${order.tool} with ${JSON.stringify(args)}, and no clear ` +
      "answer came. It may have been started, and charged: list_tasks shows it if it was.",
  );
}

function goBack() {
  const facts = trail.pop();
  following.stop();
  if (facts) {
    openTask(facts);
    element("state").focus();
  } else {
    showView("gallery");
    gallery.focus();
  }
}

/**
 * A picture that this page was given in the model's place is the model's.
 * @param {ToolResult} result
 */
function handOn({ content = [] }) {
  const latest = content.filter(({ type }) => type === "image");
  if (!latest.length || !host.capabilities.updateModelContext?.image) return;
  pictures = latest;
  updateModel();
}

/** @param {string} note is told once. */
function tellModel(note) {
  if (!host.capabilities.updateModelContext || notes.includes(note)) return;
  notes.push(note);
  updateModel();
}

function updateModel() {
  const content = [...notes.map((text) => ({ type: "text", text })), ...pictures];
  host.request("ui/update-model-context", { content }).catch(() => {});
}

/**
 * A call without a task in its answer. Unless it says that nothing was charged, it may have been
 * started all the same; then its request_id, if it had one, finds what became of it.
 * @param {ToolResult} result
 */
function showError(result) {
  const { error, next } = result.structuredContent ?? {};
  const tool = host.context.toolInfo?.tool?.name;
  const isList = tool === "list_tasks";
  const charged = error?.charged ?? (isList ? "no" : "unknown");
  const mayRun = charged !== "no";
  /** @type {Facts} */
  const facts = {
    task: {
      request_id: mayRun && typeof input.request_id === "string" ? input.request_id : "",
      kind: tool === START_TOOLS.aleph ? "aleph" : "generate",
      state: isList ? "unread" : mayRun ? "unknown" : "refused",
      charged,
      error: error ?? { reason: textOf(result) },
      next,
    },
    since: performance.now(),
    input,
  };
  if (facts.task.request_id) {
    own.add(facts.task.request_id);
    return openTask(facts);
  }
  following.stop();
  showView("error");
  view.show(facts);
}

function showCancelled() {
  delivered = "";
  showError({
    content: [
      {
        type: "text",
        text: "The call was cancelled. If it had been sent already, the list of tasks shows it.",
      },
    ],
  });
}

/**
 * Follows the host's theme, variables, language and time zone.
 * @param {Dict} context
 */
function dress({ theme, styles }) {
  const root = document.documentElement;
  if (theme) root.dataset.theme = theme;
  for (const [name, value] of Object.entries(styles?.variables ?? {})) {
    if (name.startsWith("--") && typeof value === "string") root.style.setProperty(name, value);
  }
  locale.use(host.context.locale, host.context.timeZone);
  if (view.facts) view.show(view.facts);
}
