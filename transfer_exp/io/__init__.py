"""Readers of untrusted CSV, JSON, text and npz files, and atomic writes."""
