// The conversation with the host that shows this page: JSON-RPC over postMessage.

const PROTOCOL = "2026-01-26";
const MARK = "kie-runway/card";

/**
 * @typedef {Record<string, any>} Dict
 * @typedef {{ type: string, text?: string }} Content
 * @typedef {object} ToolResult
 * @property {boolean} [isError]
 * @property {Content[]} [content]
 * @property {Dict} [structuredContent]
 * @property {Dict} [_meta]
 */

class Host {
  /** What the host can do. @type {Dict} */
  capabilities = {};
  /** Theme, locale, styles and so on. @type {Dict} */
  context = {};
  #lastId = 0;
  /** @type {Map<number, { resolve: (result: any) => void, reject: (reason: Error) => void }>} */
  #waiting = new Map();
  /** @type {Record<string, (params: Dict) => void>} */
  #handlers;

  /** @param {Record<string, (params: Dict) => void>} handlers by method, for what the host sends. */
  constructor(handlers) {
    this.#handlers = handlers;
    addEventListener("message", (event) => {
      if (event.source === parent && event.data?.jsonrpc === "2.0") this.#take(event.data);
    });
  }

  /** Introduces the page; what the host says of itself is there afterwards. */
  async connect() {
    const answer = await this.request("ui/initialize", {
      appInfo: { name: "kie-runway-mcp", version: "1" },
      appCapabilities: { availableDisplayModes: ["inline"] },
      protocolVersion: PROTOCOL,
    });
    this.capabilities = answer.hostCapabilities ?? {};
    this.context = answer.hostContext ?? {};
    this.notify("ui/notifications/initialized");
  }

  /**
   * Asks the host. Rejects when it refuses, when no answer comes in time, and when given up.
   * @param {string} method
   * @param {Dict} params
   * @param {{ withinS?: number, signal?: AbortSignal }} limits
   * @returns {Promise<any>}
   */
  async request(method, params, { withinS = 30, signal } = {}) {
    const id = ++this.#lastId;
    const giveUp = (/** @type {string} */ reason) => {
      this.#waiting.get(id)?.reject(new Error(reason));
      this.notify("notifications/cancelled", { requestId: id, reason });
    };
    const stop = () => giveUp("No longer needed.");
    const timer = setTimeout(() => giveUp("No answer came."), withinS * 1000);
    signal?.addEventListener("abort", stop);
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject });
        this.#send({ id, method, params });
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      this.#waiting.delete(id);
    }
  }

  /**
   * @param {string} method
   * @param {Dict} params
   */
  notify(method, params = {}) {
    this.#send({ method, params });
  }

  /**
   * Calls a tool of the server. It is told that the page calls, so that it keeps pictures for the
   * model.
   * @param {string} name
   * @param {Dict} args
   * @param {{ withinS?: number, signal?: AbortSignal }} [limits]
   * @returns {Promise<ToolResult>}
   */
  callTool(name, args, limits) {
    const params = { name, arguments: args, _meta: { [MARK]: true } };
    return this.request("tools/call", params, limits);
  }

  /** @param {Dict} message */
  #send(message) {
    parent.postMessage({ jsonrpc: "2.0", ...message }, "*"); // a page cannot know its host's origin
  }

  /** @param {Dict} message */
  #take({ id, method, params, result, error }) {
    if (!method) {
      const asked = this.#waiting.get(id);
      if (error) asked?.reject(new Error(String(error.message ?? "The host refused.")));
      else asked?.resolve(result);
      return;
    }
    const handler = this.#handlers[method];
    if (id === undefined) handler?.(params ?? {});
    else if (handler || method === "ping") {
      handler?.(params ?? {});
      this.#send({ id, result: {} });
    } else this.#send({ id, error: { code: -32601, message: "Method not found" } });
  }
}
