"""Tests of inletspy.edge, most of them on real sockets of the loopback interface."""
