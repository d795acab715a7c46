"""What a call may cost. Checked before anything is sent, let alone signed."""

from adapters.errors import BudgetSpent
from adapters.spi import Call, Tool


def require(call: Call, tool: Tool) -> None:
    """Raises `BudgetSpent` if the tool has a price that the call's budget does not cover. Free tools need no budget."""
    if tool.price is None or tool.price.amount <= 0:
        return
    price = f"{tool.price.amount} {tool.price.asset}"
    if call.budget is None:
        raise BudgetSpent(f"'{tool.name}' costs {price}; name a budget of at least that with the call")
    if call.budget < tool.price.amount:
        raise BudgetSpent(f"'{tool.name}' costs {price}, and the budget is {call.budget}")
