"""What a prompt decides: by its words where they say something, else by repeatable chance."""

import hashlib
import random
import re


def chance_of(prompt: str, seed: int | None) -> random.Random:
    """Return a source of chance that is the same for the same prompt and seed."""
    digest = hashlib.sha256(f"{seed} {prompt}".encode(errors="replace")).digest()
    return random.Random(digest)


def meant(prompt: str, table: dict[str, str], chance: random.Random) -> str:
    """Return the entry of `table` that shares most words with the prompt; with none, any."""
    words = re.findall(r"[\w-]+", prompt.lower())
    counts = {name: sum(word in listed.split() for word in words) for name, listed in table.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else chance.choice(sorted(table))
