"""Pure Polars functions from tables to tables.

No Dagster, no files, no network, no clock: what a transform needs beside its frames (zones, today, settings) is a
parameter.
"""
