"""Modules that detect anomalies in a scan and write the results on its voxel grid."""
