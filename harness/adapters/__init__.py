"""Recorders for training frameworks: one module a framework, which nothing else in the harness imports.

Each needs its framework, which is an optional extra of the same name: lightning, transformers or ignite.
A loop on Accelerate or Lightning Fabric is a plain loop: the recorder itself watches its model and optimizer.
"""
