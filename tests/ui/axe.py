"""axe, which finds what keeps people from using a page, let loose on the card."""

from functools import cache
from pathlib import Path
from typing import Any

from tests.ui.chat import Chat

AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
# Large text must be as easy to read as small text. Where a gradient lies behind text, axe cannot
# say: then each of the gradient's colours must do.
RUN = """async () => {
  const contrastRatio = { normal: { expected: 4.5 }, large: { expected: 4.5 } };
  axe.configure({ checks: [{ id: "color-contrast", options: { contrastRatio } }] });
  const { violations, incomplete } = await axe.run(document);
  const { Color, getContrast } = axe.commons.color;
  const parsed = (text) => { const color = new Color(); color.parseString(text); return color; };
  const gradient = (element) => {
    const image = getComputedStyle(element).backgroundImage;
    return image === "none" ? gradient(element.parentElement) : image.match(/rgba?\\([^)]*\\)/g);
  };
  const isReadable = (element) => {
    const colour = parsed(getComputedStyle(element).color);
    return gradient(element).every((stop) => getContrast(parsed(stop), colour) >= 4.5);
  };
  const unsure = incomplete.filter(({ id }) => id === "color-contrast").map((rule) => ({
    ...rule,
    nodes: rule.nodes.filter(({ any, target }) => {
      const why = any[0]?.data?.messageKey;
      if (why === "bgGradient") return !isReadable(document.querySelector(target[0]));
      return why !== "bgOverlap"; // words that stand behind a picture until it has come
    }),
  }));
  return [...violations, ...unsure].flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`));
}"""


@cache
def _source() -> str:
    return AXE.read_text(encoding="utf-8")


async def obstacles(chat: Chat) -> list[str]:
    """What is wrong with the card as it is shown now; contrast below 4.5 included."""
    if await chat.frame.evaluate("typeof axe") == "undefined":
        await chat.frame.evaluate(_source())
    found: Any = await chat.frame.evaluate(RUN)
    return [str(line) for line in found]
