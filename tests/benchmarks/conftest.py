"""Keeps pytest, which collects doctests from every module, out of this folder's scripts."""

collect_ignore_glob = ["[!t]*.py", "table.py"]
