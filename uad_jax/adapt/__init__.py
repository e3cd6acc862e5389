"""Adaptations: functions that change how a method trains or infers.

An adaptation wraps a method, Method -> Method. Each file holds one
`make(**options) -> Adaptation`; the name of the file is the name in a config.
"""
