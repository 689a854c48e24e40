"""The version, where `npcnn` and `npcnn.config` can both import it."""

__version__ = "0.2.0"
