"""How each network is spoken: one folder a network, all of the same shape. `adapters.spi` is the contract."""
