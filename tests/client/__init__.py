"""Tests of `inletspy.client`."""
