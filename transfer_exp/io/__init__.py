"""Readers and writers of files: CSV, JSON, npz, and atomic writes."""
