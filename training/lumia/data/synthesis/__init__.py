"""Parametric synthesis of the sounds that things make: a function of a random generator for each kind."""
