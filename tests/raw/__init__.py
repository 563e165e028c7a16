"""Writes raw trees byte by byte, without the code under test."""
