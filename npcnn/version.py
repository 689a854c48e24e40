"""The version, where `npcnn` and `npcnn.config` can both import it."""

__version__ = "0.1.0"
