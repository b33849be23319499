// Vercel's AI SDK: npm install ai @ai-sdk/mcp @ai-sdk/openai (Node.js 22 or newer)
import { createMCPClient } from "@ai-sdk/mcp";
import { StdioMCPTransport } from "@ai-sdk/mcp/mcp-stdio";
import { openai } from "@ai-sdk/openai";
import { ToolLoopAgent, isStepCount } from "ai";

const SANDBOX = ["kie-runway-mcp", "serve", "--sandbox"];
const WISH = "Make a five-second video of a paper boat in the rain, save it, and tell me its path.";

// What the agent answers; it generates, waits and saves by itself.
export async function makeVideo(wish, model, [command, ...args] = SANDBOX) {
  const videos = await createMCPClient({
    transport: new StdioMCPTransport({ command, args }),
    protocolVersionDiscovery: false, // it gives a starting server one second to answer
  });
  try {
    const tools = await videos.tools();
    const agent = new ToolLoopAgent({ model, tools, stopWhen: isStepCount(30) });
    const { text } = await agent.generate({ prompt: wish });
    return text;
  } finally {
    await videos.close();
  }
}

if (import.meta.main) {
  const server = process.argv.slice(2);
  console.log(await makeVideo(WISH, openai("gpt-5-mini"), server.length ? server : SANDBOX));
}
