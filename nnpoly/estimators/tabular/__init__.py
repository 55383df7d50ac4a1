"""Estimators for tables: columns of any kind, as networks take them, and ensembles of networks."""
