"""Tests of the tencent room; a package so that they can share the samples."""
