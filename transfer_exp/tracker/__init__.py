"""Experiment trackers: records of runs in addition to their folders."""
