"""Modules that detect anomalies in a scan and write them on the grid of the scan."""
