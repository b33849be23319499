"""KIE.AI's Runway API as an MCP server: pays once, loses nothing."""
