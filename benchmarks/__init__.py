"""Measurements that are shown rather than tested."""
