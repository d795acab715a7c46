"""What Ada knows beside her character file: a provider, and an evaluator."""

from datetime import date


def born(turn):
    """Told to her model in each turn."""
    return f"Today is {date.today():%d %B}. You were born on 10 December 1815."


async def promises(turn):
    """After each turn: what the person has promised is kept as a fact of them."""
    return [f"They promised: {turn.message}"] if turn.message.lower().startswith("i promise") else []
