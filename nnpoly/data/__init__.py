"""Data: how a user's arrays become the network's, looked at once, and labels become targets."""

from .labels import OneHot, one_hot

__all__ = ["OneHot", "one_hot"]
