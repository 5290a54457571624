"""The bundle, a folder and its contract: opened, checked and written; no pickle, nothing to compute."""
