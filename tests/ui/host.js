// The host page of the tests: the official client and AppBridge, and one sandboxed frame with the
// CSP that a host must build from what the resource says of itself. Tests drive `window.host`.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import {
  AppBridge,
  PostMessageTransport,
  RESOURCE_MIME_TYPE,
  buildAllowAttribute,
  getToolUiResourceUri,
} from "@modelcontextprotocol/ext-apps/app-bridge";

/**
 * @typedef {import("@modelcontextprotocol/ext-apps/app-bridge").McpUiHostContext} Context
 * @typedef {import("@modelcontextprotocol/ext-apps/app-bridge").McpUiHostCapabilities} Capabilities
 * @typedef {import("@modelcontextprotocol/ext-apps/app-bridge").McpUiResourceMeta} ResourceMeta
 * @typedef {import("@modelcontextprotocol/client").CallToolResult} CallToolResult
 * @typedef {"refuse" | "lose" | "hang"} Trouble
 *   What becomes of a call by the card: not sent; sent, but its answer is an error; sent, and
 *   no answer ever.
 */

const INFO = { name: "test-host", version: "1.0.0" };
const UI = "io.modelcontextprotocol/ui";

class Host {
  /**
   * Everything the card has asked of the host, in order.
   * @type {{ kind: string, params: any }[]}
   */
  said = [];
  /** @type {{ tool: string, trouble: Trouble }[]} */
  troubles = [];
  /** How many calls of the card are under way, how many were at most, and how many hang. */
  calling = 0;
  most = 0;
  hanging = 0;
  /** Whether the card gets no `_meta` of results. */
  older = false;
  /** Whether the server gets no `_meta` of the card's calls. */
  forgets = false;

  /**
   * Connects to the server beside this page.
   * @param {{ mode?: string, older?: boolean, forgets?: boolean }} options
   *   `mode`: of the protocol, as the client names it. `older`: a host of the older draft: it does
   *   not say that it shows cards, and keeps `_meta` of results to itself. `forgets`: one that
   *   drops `_meta` of the card's calls.
   */
  async connect({ mode, older = false, forgets = false } = {}) {
    this.older = older;
    this.forgets = forgets;
    const extensions = { [UI]: { mimeTypes: [RESOURCE_MIME_TYPE] } };
    this.client = new Client(INFO, {
      capabilities: older ? {} : { extensions },
      ...(mode === "auto" && { versionNegotiation: { mode } }),
    });
    const mcp = new URL("/mcp", location.href);
    await this.client.connect(new StreamableHTTPClientTransport(mcp));
    return this.client.getNegotiatedProtocolVersion();
  }

  /**
   * Calls a tool as the model does.
   * @param {string} name
   * @param {Record<string, unknown>} args
   */
  async call(name, args) {
    return await this.#connected().callTool({ name, arguments: args });
  }

  /**
   * Opens the card of a tool; returns the frame's CSP once the card is ready.
   * @param {string} name
   * @param {{ context?: Context, capabilities?: Capabilities }} options
   */
  async open(name, { context = {}, capabilities } = {}) {
    const client = this.#connected();
    const tool = (await client.listTools()).tools.find((tool) => tool.name === name);
    const uri = tool && getToolUiResourceUri(tool);
    if (!uri) throw new Error(`${name} has no card`);
    const resource = (await client.readResource({ uri })).contents[0];
    if (!resource || !("text" in resource)) throw new Error(`${uri} is no text`);
    if (resource.mimeType !== RESOURCE_MIME_TYPE) throw new Error(`${uri}: ${resource.mimeType}`);
    /** @type {ResourceMeta} */
    const meta = resource._meta?.ui ?? {};

    await this.close();
    const frame = document.createElement("iframe");
    frame.sandbox.add("allow-scripts");
    frame.allow = buildAllowAttribute(meta.permissions);
    frame.classList.toggle("bordered", meta.prefersBorder);
    document.body.append(frame);
    if (!frame.contentWindow) throw new Error("the frame has no window");
    const offered = capabilities ?? {
      openLinks: {},
      serverTools: {},
      updateModelContext: { text: {}, image: {}, structuredContent: {} },
    };
    this.bridge = new AppBridge(null, INFO, offered, {
      hostContext: {
        theme: "light",
        displayMode: "inline",
        locale: "en-US",
        timeZone: "UTC",
        platform: "web",
        toolInfo: { tool },
        ...context,
      },
    });
    const ready = new Promise((resolve) => this.bridge?.addEventListener("initialized", resolve));
    this.#listen(this.bridge, frame, offered);
    await this.bridge.connect(new PostMessageTransport(frame.contentWindow, frame.contentWindow));
    this.dress(context.theme ?? "light");
    const csp = policy(meta);
    const head = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${csp}">`;
    frame.srcdoc = resource.text.replace(/^\s*<!doctype html>/i, head);
    await ready;
    return csp;
  }

  /** @param {Record<string, unknown>} args */
  async input(args) {
    await this.bridge?.sendToolInput({ arguments: args });
    await this.taken();
  }

  /** @param {CallToolResult} result */
  async result(result) {
    await this.bridge?.sendToolResult(this.#passed(result));
    await this.taken();
  }

  /** @param {Context} change */
  async change(change) {
    if (change.theme) this.dress(change.theme);
    await this.bridge?.sendHostContextChange(change);
    await this.taken();
  }

  /** Waits until the card has taken what it was sent: it takes one message after the other. */
  async taken() {
    await this.bridge?.request({ method: "ping" });
  }

  async teardown() {
    await this.bridge?.teardownResource({});
  }

  /** Takes the card away without a word. */
  async close() {
    await this.bridge?.close();
    document.querySelector("iframe")?.remove();
  }

  /**
   * The next call of a tool by the card meets trouble.
   * @param {string} tool
   * @param {Trouble} trouble
   */
  spoil(tool, trouble) {
    this.troubles.push({ tool, trouble });
  }

  /** @param {"light" | "dark"} theme */
  dress(theme) {
    document.documentElement.style.colorScheme = theme;
  }

  /**
   * @param {AppBridge} bridge
   * @param {HTMLIFrameElement} frame
   * @param {Capabilities} offered
   */
  #listen(bridge, frame, offered) {
    const client = this.#connected();
    bridge.addEventListener("sizechange", (size) => {
      this.said.push({ kind: "size", params: size });
      const borders = frame.offsetHeight - frame.clientHeight;
      if (size.height) frame.style.height = `${size.height + borders}px`;
    });
    if (offered.openLinks) {
      bridge.onopenlink = async (params) => {
        this.said.push({ kind: "open-link", params });
        return {};
      };
    }
    if (offered.updateModelContext) {
      bridge.onupdatemodelcontext = async (params) => {
        this.said.push({ kind: "model-context", params });
        return {};
      };
    }
    bridge.oncalltool = async (params, extra) => {
      this.said.push({ kind: "tools/call", params });
      const index = this.troubles.findIndex(({ tool }) => tool === params.name);
      const trouble = index < 0 ? undefined : this.troubles.splice(index, 1)[0]?.trouble;
      if (trouble === "refuse" || !offered.serverTools) throw new Error("Not allowed");
      this.calling += 1;
      this.most = Math.max(this.most, this.calling);
      try {
        const sent = this.forgets ? { ...params, _meta: undefined } : params;
        const request = { method: /** @type {const} */ ("tools/call"), params: sent };
        const result = await client.request(request, { signal: extra.mcpReq.signal });
        if (trouble === "lose") throw new Error("Request timed out");
        if (trouble === "hang") {
          this.hanging += 1;
          await new Promise(() => {});
        }
        return this.#passed(result);
      } finally {
        this.calling -= 1;
      }
    };
  }

  /** @param {CallToolResult} result */
  #passed(result) {
    return this.older ? { ...result, _meta: undefined } : result;
  }

  #connected() {
    if (!this.client) throw new Error("connect first");
    return this.client;
  }
}

/**
 * The CSP of a frame, as strict as a host may build it: not even `'self'`, for what is served
 * beside a host is none of the card's business.
 * @param {ResourceMeta} meta
 */
function policy({ csp = {} }) {
  const resources = (csp.resourceDomains ?? []).join(" ");
  /** @param {string[] | undefined} origins */
  const only = (origins) => origins?.join(" ") || "'none'";
  return [
    "default-src 'none'",
    `script-src 'unsafe-inline' ${resources}`,
    `style-src 'unsafe-inline' ${resources}`,
    `img-src data: ${resources}`,
    `media-src data: ${resources}`,
    `font-src ${resources || "'none'"}`,
    `connect-src ${only(csp.connectDomains)}`,
    `frame-src ${only(csp.frameDomains)}`,
    `base-uri ${only(csp.baseUriDomains)}`,
    "object-src 'none'",
    "form-action 'none'",
  ].join("; ");
}

Object.assign(window, { host: new Host() });
