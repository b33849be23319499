// The page: what the host sends, which view is shown, and the way back.

/** @type {Dict} */
let input = {};
/** The way back: tasks, and null for the gallery. @type {(Facts | null)[]} */
const trail = [];
/** What the model is told beyond results; each update replaces the last. @type {Content[]} */
const toldModel = [];

const host = new Host({
  "ui/notifications/tool-input": (params) => takeInput(params.arguments),
  "ui/notifications/tool-input-partial": (params) => takeInput(params.arguments),
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
const question = new Question(host, (result, order, args) => takeStart(result, order, args));
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
  fill(element("starting-prompt"), typeof input.prompt === "string" ? input.prompt : "");
}

/** @param {ToolResult} result */
function takeResult(result) {
  const facts = factsOf(result, input);
  const list = listOf(result);
  trail.length = 0;
  if (facts) openTask(facts);
  else if (list) {
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
  if (!result._meta?.[MARK]) facts.since = Math.min(facts.since, before.since);
  view.show(facts);
  handOn(result);
  return facts;
}

/**
 * @param {ToolResult} result
 * @param {Order} order
 * @param {Dict} args
 */
function takeStart(result, order, args) {
  const facts = factsOf(result, args);
  if (!facts) return false;
  question.close();
  if (view.facts) trail.push(view.facts);
  openTask(facts);
  element("state").focus();
  const { state, credits } = facts.task;
  const price = credits ? `, ${locale.credits(credits)}` : "";
  const text =
    `In the video card, the user started ${order.tool}: task ${anyId(facts.task)} ` +
    `(request_id ${facts.task.request_id}), now ${state}${price}. Prompt: ` +
    `${JSON.stringify(args.prompt ?? "")}`;
  tellModel([{ type: "text", text }]);
  return true;
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
  const pictures = content.filter(({ type }) => type === "image");
  if (pictures.length && host.capabilities.updateModelContext?.image) tellModel(pictures);
}

/** @param {Content[]} content */
function tellModel(content) {
  if (!host.capabilities.updateModelContext) return;
  toldModel.push(...content);
  host.request("ui/update-model-context", { content: toldModel }).catch(() => {});
}

/** @param {ToolResult} result */
function showError(result) {
  const { error, next } = result.structuredContent ?? {};
  const isList = host.context.toolInfo?.tool?.name === "list_tasks";
  showView("error");
  view.show({
    task: {
      request_id: "",
      kind: "generate",
      state: isList ? "unread" : "refused",
      charged: error?.charged,
      error: error ?? { reason: textOf(result) },
      next,
    },
    since: 0,
    input,
  });
}

function showCancelled() {
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
