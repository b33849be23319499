// What results say of tasks: to every client, and to this page alone.

/**
 * @typedef {object} Task
 * @property {string} [task_id]
 * @property {string} request_id
 * @property {"generate" | "extend" | "aleph"} kind
 * @property {string} state
 * @property {Charged} [charged]
 * @property {number} [credits]
 * @property {string} [prompt]
 * @property {string} [video_url]
 * @property {string} [thumbnail_url]
 * @property {string} [file]
 * @property {string} [created_at]
 * @property {string} [expires_at]
 * @property {boolean} [deduplicated]
 * @property {TaskError} [error]
 * @property {string} [next]
 *
 * @typedef {object} Offer
 * @property {number} [credits]
 *
 * @typedef {object} Facts
 * @property {Task} task
 * @property {number} since When the task began, on this page's clock, in milliseconds.
 * @property {Dict} input The arguments of the call that started it, as far as they are known.
 * @property {number} [duration]
 * @property {string} [quality]
 * @property {string} [aspect_ratio]
 * @property {number} [usual_s]
 * @property {boolean} [usual_is_learned]
 * @property {number} [max_wait_s]
 * @property {Offer} [extend]
 * @property {Offer} [restyle]
 * @property {Offer & { tool: string, arguments: Dict }} [again]
 */

const START_TOOLS = { generate: "generate_video", extend: "extend_video", aleph: "aleph_generate" };

/**
 * The task of a result; null if it has none.
 * @param {ToolResult} result
 * @param {Dict} input
 * @returns {Facts | null}
 */
function factsOf(result, input = {}) {
  const told = result._meta?.[MARK];
  const said = result.structuredContent;
  return told?.task || said?.state ? asFacts(said ?? {}, told, input) : null;
}

/**
 * The tasks of a result of list_tasks; null if it is none.
 * @param {ToolResult} result
 */
function listOf(result) {
  const said = result.structuredContent;
  const told = result._meta?.[MARK]?.tasks;
  const rows = said?.tasks ?? told?.map((/** @type {Dict} */ row) => row.task);
  if (!Array.isArray(rows)) return null;
  const facts = rows.map((row, index) => asFacts(row, told?.[index], {}));
  return { facts, cursor: said?.next_cursor };
}

/**
 * @param {Dict} said
 * @param {Dict | undefined} told
 * @param {Dict} input
 * @returns {Facts}
 */
function asFacts(said, told, input) {
  const task = /** @type {Task} */ ({ ...said, ...told?.task });
  if (told) {
    return { ...told, task, input, since: performance.now() - 1000 * (told.age_s ?? 0) };
  }
  // An older host keeps what is for this page alone; the rest has to be inferred.
  const { request_id, confirm, ...again } = input;
  const age = task.created_at ? Date.now() - Date.parse(task.created_at) : 0;
  const hasVideo = task.state === "success" && task.video_url;
  return {
    task: { ...task, prompt: input.prompt ?? task.prompt },
    since: performance.now() - Math.max(0, age || 0), // a date may be unreadable
    input,
    duration: input.duration,
    quality: input.quality,
    aspect_ratio: input.aspect_ratio,
    extend: hasVideo && task.kind !== "aleph" && input.quality !== "1080p" ? {} : undefined,
    restyle: hasVideo ? {} : undefined,
    again: input.prompt ? { tool: START_TOOLS[task.kind], arguments: again } : undefined,
  };
}

/** @param {Task} task */
function anyId(task) {
  return task.task_id ?? task.request_id;
}
